//! Under which names clusterings lie in the .h5ad file.

use celldec::io::ResultKeys;

use super::arguments::{ClusterArguments, Method};

/// The names of one clustering.
pub struct Keys {
    pub run: ResultKeys,
    /// Of what several seeds agree on, when there are several.
    pub consensus: Option<ResultKeys>,
}

impl Keys {
    pub fn all(&self) -> impl Iterator<Item = &ResultKeys> {
        [&self.run].into_iter().chain(&self.consensus)
    }
}

/// The names of every clustering, in their order.
pub fn of(arguments: &ClusterArguments) -> Vec<Keys> {
    let method = match arguments.method {
        Method::Scdcc => "scdcc",
        Method::Desc => "desc",
    };
    let key = arguments.writing.key.as_deref().unwrap_or(method);
    let named = |name: String, run: ResultKeys| Keys {
        consensus: (arguments.runs > 1).then(|| ResultKeys::new(format!("{name}_consensus"))),
        run,
    };
    let resolutions = &arguments.resolution;
    if arguments.python_keys {
        let python = |resolution: &f64| {
            let run = ResultKeys::desc(*resolution);
            named(format!("desc_{resolution:?}"), run)
        };
        return resolutions.iter().map(python).collect();
    }
    let names = match &resolutions[..] {
        [_, _, ..] => resolutions
            .iter()
            .map(|resolution| format!("{key}_{resolution}"))
            .collect(),
        _ => vec![key.to_string()],
    };
    let own = |name: String| named(name.clone(), ResultKeys::new(name));
    names.into_iter().map(own).collect()
}
