//! Whether what really passes is what a document tells.

use serde_json::Value;

/// What a value that differs from run to run has in it.
const VARIES: char = '…';

/// Whether `real` is what is told: the same fields, and the same values but for times and what is told to vary.
pub fn is_meant(told: &Value, real: &Value) -> bool {
    match (told, real) {
        (Value::Object(told), Value::Object(real)) => {
            told.keys().eq(real.keys())
                && told.iter().all(|(name, told)| {
                    name.ends_with("_ms") && real[name].is_u64() || is_meant(told, &real[name])
                })
        }
        (Value::Array(told), Value::Array(real)) => {
            told.len() == real.len()
                && told.iter().zip(real).all(|(told, real)| is_meant(told, real))
        }
        (Value::String(told), Value::String(_)) if told.contains(VARIES) => true,
        (told, real) => told == real,
    }
}
