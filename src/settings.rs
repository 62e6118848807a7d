//! One declaration for every setting of a phase: its type, default, documentation and setter.

/// Declares a struct of settings: each with its default, which its documentation repeats, and a
/// setter. JSON may leave settings out, and a name that is none is an error.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_attribute:meta])*
                $setter:ident / $field:ident: $type:ty $(as $argument:ty)? = $default:expr,
            )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$field_attribute])*
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")]
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            /// The default settings.
            pub fn new() -> Self {
                Self::default()
            }

            $(
                settings! { @setter $setter $field: $type $(as $argument)? }
            )*
        }
    };
    (@setter $setter:ident $field:ident: $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        pub fn $setter(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    };
    (@setter $setter:ident $field:ident: $type:ty as $argument:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        pub fn $setter(mut self, $field: $argument) -> Self {
            self.$field = $field.into();
            self
        }
    };
}

pub(crate) use settings;
