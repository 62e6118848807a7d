//! Changes of JSON: members, elements, numbers.

use serde_json::{Value, json};

use crate::random::Random;
use crate::text;

/// Changes JSON text once, mostly as what it means.
pub fn change(random: &mut Random, text: &mut Vec<u8>, other: &[u8], most: usize) {
    if !random.one_in(4)
        && let Ok(mut value) = serde_json::from_slice::<Value>(text)
    {
        let place = random.below(count(&value));
        let donor = serde_json::from_slice::<Value>(other).unwrap_or_default();
        let donor_place = random.below(count(&donor));
        let mut new = None;
        at(&donor, donor_place, &mut |found| new = Some(found.clone()));
        at_mut(&mut value, &mut place.clone(), &mut |found| {
            change_value(random, found, new.take().unwrap_or_default());
        });
        *text = value.to_string().into_bytes();
    } else {
        text::change(random, text, other, most);
    }
    text.truncate(most);
}

fn change_value(random: &mut Random, value: &mut Value, donor: Value) {
    match (random.below(6), &mut *value) {
        (0..=2, Value::Array(elements)) if !elements.is_empty() => {
            let position = random.below(elements.len());
            match random.below(3) {
                0 => drop(elements.remove(position)),
                1 => elements.push(elements[position].clone()),
                _ => elements.swap(0, position),
            }
        }
        (0..=2, Value::Object(members)) if !members.is_empty() => {
            let position = random.below(members.len());
            let name = members.keys().nth(position).cloned().unwrap_or_default();
            if random.one_in(2) {
                members.remove(&name);
            } else {
                members.insert(format!("{name}x"), donor);
            }
        }
        (0..=3, Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(0.0);
            *value = match random.below(10) {
                0 => json!(number + 1.0),
                1 => json!(number * 1e10),
                2 => json!(-number),
                3 => json!(number / 3.0),
                4 => json!(1e308),
                5 => json!(u64::MAX),
                6 => json!(i64::MIN),
                7 => json!((number as i64).saturating_sub(1)),
                8 => json!((number as i64).saturating_add(1)),
                _ => json!(f64::from_bits(random.next()).to_bits()),
            };
        }
        (4, _) => *value = donor,
        _ => {
            *value = random
                .pick(&[
                    Value::Null,
                    json!(true),
                    json!(0),
                    json!(1),
                    json!(2),
                    json!(-1),
                    json!(0.5),
                    json!(1e300),
                    json!(u64::MAX),
                    json!(f64::NAN.to_bits()),
                    json!(f64::INFINITY.to_bits()),
                    json!(4_611_686_018_427_387_904u64),
                    json!(""),
                    json!("a"),
                    json!([]),
                    json!({}),
                    json!([[], []]),
                    json!([0, 0]),
                ])
                .clone();
        }
    }
}

/// The number of values in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum::<usize>(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn at(value: &Value, place: usize, found: &mut impl FnMut(&Value)) {
    let mut left = place;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if left == 0 {
            found(value);
            return;
        }
        left -= 1;
        match value {
            Value::Array(elements) => open.extend(elements),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
}

fn at_mut(value: &mut Value, left: &mut usize, found: &mut impl FnMut(&mut Value)) -> bool {
    if *left == 0 {
        found(value);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(elements) => elements.iter_mut().any(|value| at_mut(value, left, found)),
        Value::Object(members) => members.values_mut().any(|value| at_mut(value, left, found)),
        _ => false,
    }
}
