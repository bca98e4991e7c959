//! A struct's attributes, read and checked: what cannot mean anything is a compile error at the attribute.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, Field as SynField, Fields, GenericParam, Ident, Lifetime, LitInt, LitStr, Result, Token,
    Type,
};

/// A struct as its attributes describe it.
pub struct Struct {
    pub ident: Ident,
    /// The lifetime of what is borrowed from the frame, if anything is.
    pub lifetime: Option<Lifetime>,
    pub fields: Vec<Field>,
    pub message: Option<MessageAttrs>,
}

/// What makes a struct a message.
pub struct MessageAttrs {
    pub kind: Kind,
    pub versions: (i16, i16),
    pub flexible_since: Option<i16>,
    pub response: Option<Type>,
}

/// What a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The API with this key.
    Api(i16),
    /// No API: its version stands in front of it.
    Data,
}

/// A field as its attributes describe it.
pub struct Field {
    pub ident: Ident,
    pub ty: Type,
    pub json_name: String,
    /// First version that has the field, `None`: all.
    pub since: Option<i16>,
    /// Last version that has the field, `None`: all.
    pub until: Option<i16>,
    /// First and last version in which the field may be null; `None` where an `Option` may be null throughout.
    pub nullable: Option<(i16, Option<i16>)>,
    pub tag: Option<u32>,
    pub default: Default,
    pub ignorable: bool,
    /// The schema's type is `records`.
    pub records: bool,
}

/// The value of a field while it is absent.
pub enum Default {
    /// Zero or empty.
    Type,
    /// An `Option` of zero or empty.
    SomeOfType,
    Null,
    Value(Box<Expr>),
}

impl Struct {
    pub fn parse(input: &DeriveInput) -> Result<Struct> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(input.ident.span(), "`Wire` is derived for structs only"));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(Error::new(input.ident.span(), "`Wire` needs fields with names"));
        };
        let fields = named.named.iter().map(Field::parse).collect::<Result<Vec<_>>>()?;
        for (index, field) in fields.iter().enumerate() {
            if field.tag.is_some() && fields.iter().take(index).any(|earlier| earlier.tag == field.tag) {
                return Err(Error::new(field.ident.span(), "another field of this struct has the same tag"));
            }
        }
        let message = MessageAttrs::parse(&input.attrs, &input.ident)?;
        if let Some(message) = &message {
            for field in &fields {
                message.check(field)?;
            }
        }
        Ok(Struct { ident: input.ident.clone(), lifetime: lifetime(input)?, fields, message })
    }
}

fn lifetime(input: &DeriveInput) -> Result<Option<Lifetime>> {
    let mut found = None;
    for param in &input.generics.params {
        match param {
            GenericParam::Lifetime(param) if found.is_none() && param.bounds.is_empty() => found = Some(param.lifetime.clone()),
            other => return Err(Error::new(other.span(), "a wire struct has one lifetime, that of the frame, and no other generics")),
        }
    }
    Ok(found)
}

impl MessageAttrs {
    fn parse(attrs: &[Attribute], ident: &Ident) -> Result<Option<MessageAttrs>> {
        let (mut key, mut data, mut versions, mut flexible, mut response) = (None, None, None, None, None);
        let mut first = None;
        for_each_meta(attrs, |meta| {
            first.get_or_insert(meta.path.span());
            if meta.path.is_ident("key") {
                set(&mut key, &meta, int(meta.value()?)?)
            } else if meta.path.is_ident("data") {
                set(&mut data, &meta, ())
            } else if meta.path.is_ident("versions") {
                let (since, until) = range(meta.value()?)?;
                let until = until.ok_or_else(|| meta.error("`versions` needs a last version, e.g. `3..=13`"))?;
                set(&mut versions, &meta, (since, until))
            } else if meta.path.is_ident("flexible") {
                set(&mut flexible, &meta, open_range(&meta)?)
            } else if meta.path.is_ident("response") {
                set(&mut response, &meta, meta.value()?.parse::<Type>()?)
            } else {
                Err(meta.error("unknown attribute: a message has `key` or `data`, `versions`, `flexible`, `response`"))
            }
        })?;
        let Some(span) = first else { return Ok(None) };
        let kind = match (key, data, &response) {
            (Some(key), None, _) => Kind::Api(key),
            (None, Some(()), None) => Kind::Data,
            (None, Some(()), Some(response)) => return Err(Error::new(response.span(), "only what has a `key` has a response")),
            (Some(_), Some(()), _) => return Err(Error::new(span, "`data` belongs to no API: leave out `key` or `data`")),
            (None, None, _) => return Err(Error::new(span, "a message needs `key`, or `data` if it belongs to no API")),
        };
        let versions = versions.ok_or_else(|| Error::new(span, format!("the message {ident} needs `versions`, e.g. `3..=13`")))?;
        Ok(Some(MessageAttrs { kind, versions, flexible_since: flexible, response }))
    }

    /// A field that no version of its message could hold is a slip of the pen.
    fn check(&self, field: &Field) -> Result<()> {
        let (first, last) = self.versions;
        let outside = field.since.is_some_and(|since| since > last) || field.until.is_some_and(|until| until < first);
        if outside {
            return Err(Error::new(field.ident.span(), "no version of this message has the field"));
        }
        let flexible = self.flexible_since.unwrap_or(i16::MAX);
        if field.tag.is_some() && field.since.is_some_and(|since| since < flexible) {
            return Err(Error::new(field.ident.span(), "tagged fields exist in flexible versions only"));
        }
        Ok(())
    }
}

impl Field {
    fn parse(field: &SynField) -> Result<Field> {
        let ident = field.ident.clone().ok_or_else(|| Error::new(field.span(), "`Wire` needs fields with names"))?;
        let is_option = is_option(&field.ty);
        let (mut since, mut until, mut nullable, mut tag, mut tagged) = (None, None, None, None, None);
        let (mut default, mut ignorable, mut records, mut name) = (None, None, None, None);
        let mut spans = Spans::default();
        for_each_meta(&field.attrs, |meta| {
            let span = meta.path.span();
            if meta.path.is_ident("since") {
                set(&mut since, &meta, int(meta.value()?)?)
            } else if meta.path.is_ident("until") {
                spans.until = Some(span);
                set(&mut until, &meta, int(meta.value()?)?)
            } else if meta.path.is_ident("nullable") {
                if !is_option {
                    return Err(meta.error("only an `Option` is nullable"));
                }
                set(&mut nullable, &meta, range(meta.value()?)?)
            } else if meta.path.is_ident("tag") {
                spans.tag = Some(span);
                set(&mut tag, &meta, meta.value()?.parse::<LitInt>()?.base10_parse::<u32>()?)
            } else if meta.path.is_ident("tagged") {
                spans.tag = Some(span);
                set(&mut tagged, &meta, open_range(&meta)?)
            } else if meta.path.is_ident("default") {
                set(&mut default, &meta, meta.value()?.parse::<Expr>()?)
            } else if meta.path.is_ident("ignorable") {
                set(&mut ignorable, &meta, ())
            } else if meta.path.is_ident("records") {
                set(&mut records, &meta, ())
            } else if meta.path.is_ident("name") {
                set(&mut name, &meta, meta.value()?.parse::<LitStr>()?.value())
            } else {
                Err(meta.error(
                    "unknown attribute: a field has `since`, `until`, `nullable`, `tag`, `tagged`, `default`, `ignorable`, `records`, `name`",
                ))
            }
        })?;
        match (tag, tagged) {
            (Some(_), None) => return Err(spans.tag_error("`tag` needs `tagged`, the versions that have it, e.g. `tagged = 12..`")),
            (None, Some(_)) => return Err(spans.tag_error("`tagged` needs `tag`, the number of the field")),
            (Some(_), Some(_)) if since.is_some() => return Err(spans.tag_error("`tagged` says since when; leave out `since`")),
            (Some(_), Some(_)) if until.is_some() => return Err(spans.tag_error("a tagged field has no last version; leave out `until`")),
            _ => {}
        }
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(Error::new(spans.until.unwrap_or_else(Span::call_site), "`until` lies before `since`"));
        }
        let default = match default {
            Some(Expr::Path(path)) if path.path.is_ident("null") => {
                if !is_option {
                    return Err(Error::new(path.span(), "only an `Option` can be null"));
                }
                Default::Null
            }
            Some(value) => Default::Value(Box::new(value)),
            None if is_option && records.is_some() => Default::Null,
            None if is_option => Default::SomeOfType,
            None => Default::Type,
        };
        let json_name = name.unwrap_or_else(|| camel_case(&ident.to_string()));
        let since = since.or(tagged);
        let (ty, ignorable, records) = (field.ty.clone(), ignorable.is_some(), records.is_some());
        Ok(Field { ident, ty, json_name, since, until, nullable, tag, default, ignorable, records })
    }
}

#[derive(Default)]
struct Spans {
    until: Option<Span>,
    tag: Option<Span>,
}

impl Spans {
    fn tag_error(&self, message: &str) -> Error {
        Error::new(self.tag.unwrap_or_else(Span::call_site), message)
    }
}

fn for_each_meta(attrs: &[Attribute], mut f: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("wire")) {
        attr.parse_nested_meta(&mut f)?;
    }
    Ok(())
}

fn set<T>(slot: &mut Option<T>, meta: &ParseNestedMeta<'_>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("given twice")),
    }
}

fn int(input: ParseStream<'_>) -> Result<i16> {
    input.parse::<LitInt>()?.base10_parse()
}

/// `3..=13` or `3..`.
fn range(input: ParseStream<'_>) -> Result<(i16, Option<i16>)> {
    let span = input.span();
    let since = int(input)?;
    if input.peek(Token![..=]) {
        input.parse::<Token![..=]>()?;
        let until = int(input)?;
        if until < since {
            return Err(Error::new(span, "the range is empty"));
        }
        return Ok((since, Some(until)));
    }
    if input.parse::<Option<Token![..]>>()?.is_some() && !input.peek(LitInt) {
        return Ok((since, None));
    }
    Err(Error::new(span, "versions are written `3..` or `3..=13`"))
}

fn open_range(meta: &ParseNestedMeta<'_>) -> Result<i16> {
    match range(meta.value()?)? {
        (since, None) => Ok(since),
        _ => Err(meta.error("has no last version; write e.g. `9..`")),
    }
}

pub fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == "Option"))
}

fn camel_case(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn error(input: DeriveInput) -> String {
        Struct::parse(&input).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn attributes_become_versions_tags_and_defaults() {
        let schema = Struct::parse(&parse_quote! {
            #[wire(key = 1, versions = 4..=18, flexible = 12.., response = FetchResponse<'r>)]
            struct FetchRequest<'a> {
                #[wire(tag = 0, tagged = 12.., default = null, ignorable)]
                cluster_id: Option<&'a str>,
                #[wire(until = 14, default = -1)]
                replica_id: i32,
                #[wire(since = 7, nullable = 9..=11)]
                rack_names: Option<Vec<i32>>,
            }
        })
        .unwrap_or_else(|e| panic!("{e}"));
        let message = schema.message.unwrap();
        assert_eq!((message.kind, message.versions, message.flexible_since), (Kind::Api(1), (4, 18), Some(12)));
        assert!(message.response.is_some());
        let [cluster_id, replica_id, rack_names] = &schema.fields[..] else { panic!("three fields") };
        assert_eq!((cluster_id.tag, cluster_id.since, cluster_id.ignorable), (Some(0), Some(12), true));
        assert!(matches!(cluster_id.default, Default::Null));
        assert_eq!((replica_id.until, replica_id.ignorable), (Some(14), false));
        assert!(matches!(replica_id.default, Default::Value(_)));
        assert_eq!((rack_names.since, rack_names.nullable), (Some(7), Some((9, Some(11)))));
        assert!(matches!(rack_names.default, Default::SomeOfType));
        assert_eq!(rack_names.json_name, "rackNames");
    }

    #[test]
    fn a_message_of_no_api_has_versions_as_well() {
        let schema = Struct::parse(&parse_quote! {
            #[wire(data, versions = 0..=4, flexible = 4..)]
            struct OffsetCommitValue {
                offset: i64,
            }
        });
        let message = schema.ok().and_then(|schema| schema.message).unwrap();
        assert_eq!((message.kind, message.versions, message.flexible_since), (Kind::Data, (0, 4), Some(4)));
    }

    #[test]
    fn what_cannot_mean_anything_is_refused_with_the_reason() {
        for (input, reason) in [
            (
                parse_quote!(
                    enum E {
                        A,
                    }
                ),
                "structs only",
            ),
            (
                parse_quote!(
                    struct S(i32);
                ),
                "fields with names",
            ),
            (
                parse_quote!(
                    struct S<T> {
                        a: T,
                    }
                ),
                "one lifetime",
            ),
            (
                parse_quote!(
                    #[wire(key = 1)]
                    struct S {
                        a: i32,
                    }
                ),
                "needs `versions`",
            ),
            (
                parse_quote!(
                    #[wire(versions = 1..=2)]
                    struct S {
                        a: i32,
                    }
                ),
                "needs `key`, or `data`",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, data, versions = 1..=2)]
                    struct S {
                        a: i32,
                    }
                ),
                "leave out `key` or `data`",
            ),
            (
                parse_quote!(
                    #[wire(data, versions = 1..=2, response = T)]
                    struct S {
                        a: i32,
                    }
                ),
                "has a response",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, versions = 1..)]
                    struct S {
                        a: i32,
                    }
                ),
                "last version",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, versions = 3..=1)]
                    struct S {
                        a: i32,
                    }
                ),
                "empty",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, versions = 1..=2, flexible = 1..=2)]
                    struct S {
                        a: i32,
                    }
                ),
                "no last version",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, versions = 1..=2, flexibel = 1..)]
                    struct S {
                        a: i32,
                    }
                ),
                "unknown attribute",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, versions = 1..=2)]
                    struct S {
                        #[wire(since = 3)]
                        a: i32,
                    }
                ),
                "no version of this message",
            ),
            (
                parse_quote!(
                    #[wire(key = 1, versions = 1..=2)]
                    struct S {
                        #[wire(tag = 0, tagged = 1..)]
                        a: i32,
                    }
                ),
                "flexible versions only",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(nullable = 1..)]
                        a: i32,
                    }
                ),
                "only an `Option`",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(default = null)]
                        a: i32,
                    }
                ),
                "only an `Option`",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(tag = 1)]
                        a: i32,
                    }
                ),
                "`tag` needs `tagged`",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(tagged = 1..)]
                        a: i32,
                    }
                ),
                "`tagged` needs `tag`",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(since = 1, tag = 1, tagged = 1..)]
                        a: i32,
                    }
                ),
                "leave out `since`",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(since = 2, until = 1)]
                        a: i32,
                    }
                ),
                "lies before",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(since = 2, since = 1)]
                        a: i32,
                    }
                ),
                "given twice",
            ),
            (
                parse_quote!(
                    struct S {
                        #[wire(tag = 1, tagged = 1..)]
                        a: i32,
                        #[wire(tag = 1, tagged = 1..)]
                        b: i32,
                    }
                ),
                "the same tag",
            ),
        ] {
            let message = error(input);
            assert!(message.contains(reason), "`{message}` does not say `{reason}`");
        }
    }

    #[test]
    fn names_become_camel_case() {
        assert_eq!(camel_case("throttle_time_ms"), "throttleTimeMs");
        assert_eq!(camel_case("acks"), "acks");
    }
}
