//! The code generated for a struct.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Lifetime, parse_quote};

use crate::schema::{Default, Field, Kind, MessageAttrs, Struct, is_option};

/// All implementations for one struct.
pub fn expand(schema: &Struct) -> TokenStream {
    let own_lifetime = schema.lifetime.clone();
    let lifetime: Lifetime = own_lifetime.clone().unwrap_or_else(|| parse_quote!('frame));
    let ident = &schema.ident;
    let ty = match &own_lifetime {
        Some(lifetime) => quote!(#ident<#lifetime>),
        None => quote!(#ident),
    };
    let default = default_impl(schema, &ty);
    let wire = wire_impl(schema, &ty, &lifetime);
    let nullable = nullable_impl(&ty, &lifetime);
    let message = schema.message.as_ref().map(|message| message_impl(message, ident, &ty, &lifetime));
    quote! {
        #default
        #wire
        #nullable
        #message
    }
}

fn default_impl(schema: &Struct, ty: &TokenStream) -> TokenStream {
    let generics = schema.lifetime.iter();
    let fields = schema.fields.iter().map(|field| {
        let (ident, value) = (&field.ident, default_value(field));
        quote!(#ident: #value)
    });
    quote! {
        impl<#(#generics)*> ::core::default::Default for #ty {
            #[inline]
            fn default() -> Self {
                Self { #(#fields,)* }
            }
        }
    }
}

fn wire_impl(schema: &Struct, ty: &TokenStream, lifetime: &Lifetime) -> TokenStream {
    let min_lens = schema.fields.iter().filter(|field| field.tag.is_none()).map(|field| {
        let ty = &field.ty;
        let len = quote!(<#ty as ::ottla_wire::codec::Wire<#lifetime>>::min_len(v));
        match in_version(field) {
            Some(condition) => quote!(+ if #condition { #len } else { 0 }),
            None => quote!(+ #len),
        }
    });
    let reads = schema.fields.iter().map(|field| read_field(schema, field, lifetime));
    let read_tags = read_tags(schema, lifetime);
    let idents = schema.fields.iter().map(|field| &field.ident);
    let writes = schema.fields.iter().filter(|field| field.tag.is_none()).map(|field| write_field(schema, field));
    let write_tags = write_tags(schema);
    let json = schema.fields.iter().map(json_field);
    let error_codes = schema.fields.iter().map(error_codes_of_field);
    quote! {
        impl<#lifetime> ::ottla_wire::codec::Wire<#lifetime> for #ty {
            #[inline]
            fn min_len(v: ::ottla_wire::codec::Version) -> usize {
                usize::from(v.is_flexible()) #(#min_lens)*
            }

            #[inline]
            fn read(
                r: &mut ::ottla_wire::codec::Reader<#lifetime>,
                v: ::ottla_wire::codec::Version,
            ) -> ::core::result::Result<Self, ::ottla_wire::codec::DecodeError> {
                #[allow(unused_imports)]
                use ::ottla_wire::codec::InField as _;
                #(#reads)*
                #read_tags
                ::core::result::Result::Ok(Self { #(#idents,)* })
            }

            #[inline]
            fn write(
                &self,
                w: &mut ::ottla_wire::codec::Writer,
                v: ::ottla_wire::codec::Version,
            ) -> ::core::result::Result<(), ::ottla_wire::codec::EncodeError> {
                #(#writes)*
                #write_tags
                ::core::result::Result::Ok(())
            }

            #[inline]
            fn error_codes(&self, found: &mut impl ::core::ops::FnMut(i16)) {
                #(#error_codes)*
            }

            #[cfg(feature = "json")]
            fn json(&self, v: ::ottla_wire::codec::Version) -> ::serde_json::Value {
                let mut object = ::serde_json::Map::new();
                #(#json)*
                ::serde_json::Value::Object(object)
            }
        }
    }
}

/// A struct that may be null is preceded by a byte: -1 for null, 1 for a value. In a tagged field it is preceded by a
/// varint: 0 for null, 1 for a value.
fn nullable_impl(ty: &TokenStream, lifetime: &Lifetime) -> TokenStream {
    quote! {
        impl<#lifetime> ::ottla_wire::codec::Nullable<#lifetime> for #ty {
            #[inline]
            fn min_len_nullable(_: ::ottla_wire::codec::Version) -> usize {
                1
            }

            #[inline]
            fn read_nullable(
                r: &mut ::ottla_wire::codec::Reader<#lifetime>,
                v: ::ottla_wire::codec::Version,
            ) -> ::core::result::Result<::core::option::Option<Self>, ::ottla_wire::codec::DecodeError> {
                if r.get_i8()? < 0 {
                    return ::core::result::Result::Ok(::core::option::Option::None);
                }
                <Self as ::ottla_wire::codec::Wire<#lifetime>>::read(r, v).map(::core::option::Option::Some)
            }

            #[inline]
            fn write_nullable(
                value: ::core::option::Option<&Self>,
                w: &mut ::ottla_wire::codec::Writer,
                v: ::ottla_wire::codec::Version,
            ) -> ::core::result::Result<(), ::ottla_wire::codec::EncodeError> {
                w.put_i8(if value.is_some() { 1 } else { -1 });
                match value {
                    ::core::option::Option::Some(value) => ::ottla_wire::codec::Wire::write(value, w, v),
                    ::core::option::Option::None => ::core::result::Result::Ok(()),
                }
            }

            #[inline]
            fn read_nullable_tagged(
                r: &mut ::ottla_wire::codec::Reader<#lifetime>,
                v: ::ottla_wire::codec::Version,
            ) -> ::core::result::Result<::core::option::Option<Self>, ::ottla_wire::codec::DecodeError> {
                if r.get_uvarint()? == 0 {
                    return ::core::result::Result::Ok(::core::option::Option::None);
                }
                <Self as ::ottla_wire::codec::Wire<#lifetime>>::read(r, v).map(::core::option::Option::Some)
            }

            #[inline]
            fn write_nullable_tagged(
                value: ::core::option::Option<&Self>,
                w: &mut ::ottla_wire::codec::Writer,
                v: ::ottla_wire::codec::Version,
            ) -> ::core::result::Result<(), ::ottla_wire::codec::EncodeError> {
                w.put_uvarint(u32::from(value.is_some()));
                match value {
                    ::core::option::Option::Some(value) => ::ottla_wire::codec::Wire::write(value, w, v),
                    ::core::option::Option::None => ::core::result::Result::Ok(()),
                }
            }
        }
    }
}

fn message_impl(message: &MessageAttrs, ident: &Ident, ty: &TokenStream, lifetime: &Lifetime) -> TokenStream {
    let MessageAttrs { kind, versions: (first, last), flexible_since, response } = message;
    let flexible_since = flexible_since.map_or(quote!(i16::MAX), |since| quote!(#since));
    let key = match kind {
        Kind::Api(key) => key,
        Kind::Data => {
            let name = ident.to_string();
            return quote! {
                impl<#lifetime> ::ottla_wire::codec::Data<#lifetime> for #ty {
                    const NAME: &'static str = #name;
                    const VERSIONS: ::core::ops::RangeInclusive<i16> = #first..=#last;
                    const FLEXIBLE_SINCE: i16 = #flexible_since;
                }
            };
        }
    };
    let unknown_key = format!("{ident}: Kafka has no API with the key {key}");
    let request = response.as_ref().map(|response| {
        quote! {
            impl<#lifetime> ::ottla_wire::codec::Request<#lifetime> for #ty {
                type Response<'r> = #response;
                const NAME: &'static str = <Self as ::ottla_wire::codec::Message<#lifetime>>::KEY.name();
            }
        }
    });
    quote! {
        impl<#lifetime> ::ottla_wire::codec::Message<#lifetime> for #ty {
            const KEY: ::ottla_wire::ApiKey = match ::ottla_wire::ApiKey::from_i16(#key) {
                ::core::option::Option::Some(key) => key,
                ::core::option::Option::None => panic!(#unknown_key),
            };
            const VERSIONS: ::core::ops::RangeInclusive<i16> = #first..=#last;
            const FLEXIBLE_SINCE: i16 = #flexible_since;
        }

        #request
    }
}

fn read_field(schema: &Struct, field: &Field, lifetime: &Lifetime) -> TokenStream {
    let (ident, ty, default) = (&field.ident, &field.ty, default_value(field));
    if field.tag.is_some() {
        return quote!(let mut #ident: #ty = #default;);
    }
    let name = full_name(schema, field);
    let read = quote!(<#ty as ::ottla_wire::codec::Wire<#lifetime>>::read(r, v).in_field(#name)?);
    let check_null = null_not_allowed(field).map(|condition| {
        quote! {
            if #ident.is_none() && #condition {
                return ::core::result::Result::Err(
                    ::ottla_wire::codec::DecodeError::from(::ottla_wire::codec::DecodeErrorKind::UnexpectedNull).in_field(#name),
                );
            }
        }
    });
    match in_version(field) {
        Some(condition) => quote! {
            let #ident: #ty = if #condition { #read } else { #default };
            #check_null
        },
        None => quote! {
            let #ident: #ty = #read;
            #check_null
        },
    }
}

/// Tags that this struct does not know, or not in this version, are passed over.
fn read_tags(schema: &Struct, lifetime: &Lifetime) -> TokenStream {
    let struct_name = schema.ident.to_string();
    let section = format!("{struct_name}.tagged_fields");
    let arms: Vec<_> = tagged(schema)
        .iter()
        .map(|(tag, field)| {
            let (ident, ty, name) = (&field.ident, &field.ty, full_name(schema, field));
            let guard = in_version(field).map(|condition| quote!(if #condition));
            let read = if is_option(ty) {
                quote!(::ottla_wire::codec::Nullable::read_nullable_tagged)
            } else {
                quote!(<#ty as ::ottla_wire::codec::Wire<#lifetime>>::read)
            };
            quote! {
                #tag #guard => {
                    #ident = #read(&mut value, v).in_field(#name)?;
                    r.end_tagged(#tag, value).in_field(#name)?;
                }
            }
        })
        .collect();
    if arms.is_empty() {
        return quote! {
            if v.is_flexible() {
                r.skip_tagged_fields().in_field(#section)?;
            }
        };
    }
    quote! {
        if v.is_flexible() {
            for _ in 0..r.get_tag_count().in_field(#section)? {
                let (tag, mut value) = r.get_tagged().in_field(#section)?;
                match tag {
                    #(#arms)*
                    _ => {}
                }
            }
        }
    }
}

fn write_field(schema: &Struct, field: &Field) -> TokenStream {
    let (ident, name) = (&field.ident, full_name(schema, field));
    let check_null = null_not_allowed(field).map(|condition| {
        quote! {
            if self.#ident.is_none() && #condition {
                return ::core::result::Result::Err(
                    ::ottla_wire::codec::EncodeError::NullNotAllowed { field: #name, version: v.number() },
                );
            }
        }
    });
    let write = quote! {
        #check_null
        ::ottla_wire::codec::Wire::write(&self.#ident, w, v)?;
    };
    let Some(condition) = in_version(field) else { return write };
    if field.ignorable {
        return quote!(if #condition { #write });
    }
    let default = default_value(field);
    let unrepresentable = unrepresentable(&name);
    quote! {
        if #condition {
            #write
        } else if self.#ident != #default {
            #unrepresentable
        }
    }
}

/// Tagged fields follow each other in the order of their tags, and only those that do not have their default.
fn write_tags(schema: &Struct) -> TokenStream {
    let tagged = tagged(schema);
    let mut presence = Vec::new();
    let mut writes = Vec::new();
    let mut present = Vec::new();
    for (tag, field) in &tagged {
        let (ident, default, name) = (&field.ident, default_value(field), full_name(schema, field));
        let is_present = format_ident!("has_{}", ident);
        let condition = in_version(field).unwrap_or_else(|| quote!(true));
        let missing = (!field.ignorable).then(|| {
            let unrepresentable = unrepresentable(&name);
            quote! {
                if #is_present && !(#condition) {
                    #unrepresentable
                }
            }
        });
        presence.push(quote! {
            let #is_present = self.#ident != #default;
            #missing
            let #is_present = #is_present && #condition;
        });
        let write = if is_option(&field.ty) {
            quote!(::ottla_wire::codec::Nullable::write_nullable_tagged(self.#ident.as_ref(), w, v))
        } else {
            quote!(::ottla_wire::codec::Wire::write(&self.#ident, w, v))
        };
        writes.push(quote! {
            if #is_present {
                w.put_tagged(#tag, |w| #write)?;
            }
        });
        present.push(is_present);
    }
    quote! {
        #(#presence)*
        if v.is_flexible() {
            w.put_uvarint(0 #(+ u32::from(#present))*);
            #(#writes)*
        }
    }
}

fn error_codes_of_field(field: &Field) -> TokenStream {
    let ident = &field.ident;
    // AddPartitionsToTxn has a `partition_error_code`.
    if ident == "error_code" || ident.to_string().ends_with("_error_code") {
        return quote!(if self.#ident != 0 { found(self.#ident); });
    }
    quote!(::ottla_wire::codec::Wire::error_codes(&self.#ident, found);)
}

fn json_field(field: &Field) -> TokenStream {
    let (ident, name) = (&field.ident, &field.json_name);
    let value = if field.records {
        quote!(::ottla_wire::codec::json::records(self.#ident.is_none()))
    } else {
        quote!(::ottla_wire::codec::Wire::json(&self.#ident, v))
    };
    let insert = quote!(object.insert(#name.to_owned(), #value););
    let in_version = in_version(field);
    let not_default = field.tag.map(|_| {
        let default = default_value(field);
        quote!(self.#ident != #default)
    });
    match (in_version, not_default) {
        (None, None) => insert,
        (Some(condition), None) | (None, Some(condition)) => quote!(if #condition { #insert }),
        (Some(in_version), Some(not_default)) => quote!(if #in_version && #not_default { #insert }),
    }
}

fn tagged(schema: &Struct) -> Vec<(u32, &Field)> {
    let mut tagged: Vec<_> = schema.fields.iter().filter_map(|field| field.tag.map(|tag| (tag, field))).collect();
    tagged.sort_by_key(|(tag, _)| *tag);
    tagged
}

/// `None` where every version has the field.
fn in_version(field: &Field) -> Option<TokenStream> {
    within(field.since, field.until)
}

/// `None` where null is allowed in every version.
fn null_not_allowed(field: &Field) -> Option<TokenStream> {
    let (since, until) = field.nullable?;
    let nullable = within((since > 0).then_some(since), until)?;
    match in_version(field) {
        Some(condition) => Some(quote!(#condition && !(#nullable))),
        None => Some(quote!(!(#nullable))),
    }
}

fn within(since: Option<i16>, until: Option<i16>) -> Option<TokenStream> {
    match (since, until) {
        (None, None) => None,
        (Some(since), None) => Some(quote!(v.number() >= #since)),
        (None, Some(until)) => Some(quote!(v.number() <= #until)),
        (Some(since), Some(until)) => Some(quote!((#since..=#until).contains(&v.number()))),
    }
}

fn default_value(field: &Field) -> TokenStream {
    match &field.default {
        Default::Type => {
            let ty = &field.ty;
            quote!(<#ty as ::core::default::Default>::default())
        }
        Default::SomeOfType => quote!(::core::option::Option::Some(::core::default::Default::default())),
        Default::Null => quote!(::core::option::Option::None),
        Default::Value(value) => quote!(#value),
    }
}

fn full_name(schema: &Struct, field: &Field) -> String {
    format!("{}.{}", schema.ident, field.ident)
}

fn unrepresentable(name: &str) -> TokenStream {
    quote! {
        return ::core::result::Result::Err(
            ::ottla_wire::codec::EncodeError::Unrepresentable { field: #name, version: v.number() },
        );
    }
}
