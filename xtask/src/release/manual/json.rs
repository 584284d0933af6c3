//! What is printed or written as JSON: a table of each form, made from the types themselves and what their source says of them.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

/// A row for each key, by its path: `pieces[].bytes` is a key of each item of a list.
pub fn table<T: JsonSchema>() -> String {
    let schema = schema_for!(T);
    let mut table = "| key | type | meaning |\n|---|---|---|\n".to_owned();
    rows(schema.as_value(), schema.as_value(), "", &mut table);
    table
}

fn rows(root: &Value, object: &Value, path: &str, table: &mut String) {
    let properties = object["properties"].as_object();
    for (name, property) in properties.into_iter().flatten() {
        let path = format!("{path}{name}");
        let form = resolved(root, property);
        let meaning = property["description"].as_str().unwrap_or_default();
        let mut meaning = meaning.split('\n').collect::<Vec<_>>().join(" ");
        if let Some(end) = meaning.strip_suffix('.') {
            meaning = end.to_owned();
        }
        // A phrase as in other tables, unless it begins with an abbreviation.
        if meaning
            .get(1..)
            .is_some_and(|rest| !rest.starts_with(char::is_uppercase))
        {
            meaning = meaning[..1].to_lowercase() + &meaning[1..];
        }
        let kind = kind(root, form);
        *table += &format!("| `{path}` | {kind} | {meaning} |\n");
        match form.get("items") {
            Some(item) => rows(root, resolved(root, item), &format!("{path}[]."), table),
            None => rows(root, form, &format!("{path}."), table),
        }
    }
}

/// What a reference, or one that may be null, stands for.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let choices = schema["anyOf"].as_array();
    let choice = choices.and_then(|choices| choices.iter().find(|choice| choice["type"] != "null"));
    let schema = choice.unwrap_or(schema);
    let name = schema["$ref"].as_str();
    let name = name.and_then(|name| name.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

fn kind(root: &Value, form: &Value) -> String {
    let words = words(form);
    if !words.is_empty() {
        return words.join(", ");
    }
    let names = match &form["type"] {
        // Or null.
        Value::Array(names) => names
            .iter()
            .find_map(|name| name.as_str().filter(|name| *name != "null")),
        name => name.as_str(),
    };
    match names.unwrap_or("object") {
        "array" => match &form["prefixItems"] {
            Value::Array(items) => format!("list of {}", items.len()),
            _ => format!(
                "list of {}",
                plural(&kind(root, resolved(root, &form["items"])))
            ),
        },
        "string" => "text".to_owned(),
        "integer" => "number".to_owned(),
        name => name.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "number" | "object" => format!("{kind}s"),
        kind => kind.to_owned(),
    }
}

/// The words that an enum is written as.
fn words(form: &Value) -> Vec<String> {
    let one_of = form["oneOf"].as_array().into_iter().flatten();
    let forms = one_of.chain([form]);
    let words = forms.flat_map(|form| {
        let several = form["enum"].as_array().into_iter().flatten();
        several.chain(form.get("const"))
    });
    words
        .filter_map(Value::as_str)
        .map(|word| format!("`{word}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Serialize;

    #[derive(Serialize, JsonSchema)]
    struct Whole {
        /// SHA of it.
        name: String,
        /// Its parts,
        /// in order.
        parts: Vec<Part>,
        /// One more.
        #[serde(skip_serializing_if = "Option::is_none")]
        rest: Option<Part>,
        #[serde(skip)]
        _own: u8,
    }

    #[derive(Serialize, JsonSchema)]
    struct Part {
        /// What.
        kind: Kind,
        /// Both numbers.
        pair: Option<(u32, u32)>,
    }

    #[expect(dead_code, reason = "only its schema is asked for")]
    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        /// With a meaning.
        Two,
    }

    #[test]
    fn keys_of_keys() {
        let table = super::table::<Whole>();
        let rows: Vec<&str> = table.lines().skip(2).collect();
        let want = [
            "| `name` | text | SHA of it |",
            "| `parts` | list of objects | its parts, in order |",
            "| `parts[].kind` | `one`, `two` | what |",
            "| `parts[].pair` | list of 2 | both numbers |",
            "| `rest` | object | one more |",
            "| `rest.kind` | `one`, `two` | what |",
            "| `rest.pair` | list of 2 | both numbers |",
        ];
        assert_eq!(rows, want);
    }
}
