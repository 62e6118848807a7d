//! Settings and histories in `uns`: JSON values as AnnData elements.

use serde_json::Value;

use super::encode::Part;
use crate::error::Result;

/// Writes a value: objects become groups, lists of one kind arrays, other lists texts of JSON.
/// Missing values (null) are NaN among numbers and left out elsewhere.
pub(super) fn write(part: &Part<'_>, name: &str, value: &Value) -> Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Bool(value) => part.flag(name, *value),
        Value::String(value) => part.text(name, value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => part.number(name, value),
            (_, Some(value), _) => part.number(name, value),
            (.., Some(value)) => part.number(name, value),
            (None, None, None) => part.text(name, &number.to_string()),
        },
        Value::Object(members) => {
            let group = part.dictionary(name)?;
            for (name, value) in members {
                write(&group, name, value)?;
            }
            Ok(())
        }
        Value::Array(values) => write_list(part, name, values),
    }
}

fn write_list(part: &Part<'_>, name: &str, values: &[Value]) -> Result<()> {
    if let Some(values) = all(values, Value::as_i64)
        && !values.is_empty()
    {
        return part.list(name, &values);
    }
    let number = |value: &Value| match value {
        Value::Null => Some(f64::NAN),
        value => value.as_f64(),
    };
    if let Some(values) = all(values, number) {
        return part.list(name, &values);
    }
    if let Some(values) = all(values, Value::as_bool) {
        return part.flags(name, &values);
    }
    let texts: Vec<String> = values
        .iter()
        .map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    part.texts(name, &texts)
}

fn all<'a, T>(values: &'a [Value], convert: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    values.iter().map(convert).collect()
}
