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

#[cfg(test)]
mod tests {
    use super::*;
    use hdf5_pure::File;
    use serde_json::json;

    #[test]
    fn every_kind_of_value_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("details.h5");
        let value = json!({
            "text": "x", "whole": -3, "large": u64::MAX, "rate": 0.5, "flag": true, "none": null,
            "deep": {
                "whole": [1, 2], "gaps": [0.5, null], "flags": [true, false], "texts": ["a", "b"],
                "mixed": ["a", 1, {"b": 2}], "empty": [],
            },
        });
        let file = File::create(&path).unwrap();
        write(&Part::root(&file, &path), "details", &value).unwrap();
        file.commit().unwrap();
        file.close().unwrap();

        let file = File::open(&path).unwrap();
        let dataset = |name: &str| file.dataset(&format!("/details/{name}")).unwrap();
        assert_eq!(dataset("text").read_string().unwrap(), ["x"]);
        assert_eq!(dataset("text").shape().unwrap(), [0u64; 0]);
        assert_eq!(dataset("whole").read_i64().unwrap(), [-3]);
        assert_eq!(dataset("large").read_u64().unwrap(), [u64::MAX]);
        assert_eq!(dataset("rate").read_f64().unwrap(), [0.5]);
        assert_eq!(dataset("flag").read_u8().unwrap(), [1]);
        assert!(file.dataset("/details/none").is_err());
        assert_eq!(dataset("deep/whole").read_i64().unwrap(), [1, 2]);
        let gaps = dataset("deep/gaps").read_f64().unwrap();
        assert!(gaps[0] == 0.5 && gaps[1].is_nan());
        assert_eq!(dataset("deep/flags").read_u8().unwrap(), [1, 0]);
        assert_eq!(dataset("deep/texts").read_string().unwrap(), ["a", "b"]);
        assert_eq!(
            dataset("deep/mixed").read_string().unwrap(),
            ["a", "1", "{\"b\":2}"]
        );
        assert_eq!(dataset("deep/empty").shape().unwrap(), [0]);
        for (name, encoding) in [
            ("text", "string"),
            ("whole", "numeric-scalar"),
            ("deep/gaps", "array"),
            ("deep/texts", "string-array"),
        ] {
            let attributes = dataset(name).attrs().unwrap();
            assert_eq!(
                attributes["encoding-type"].as_str(),
                Some(encoding),
                "{name}"
            );
        }
    }
}
