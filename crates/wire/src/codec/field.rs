//! The types that a field of a message can have.

use std::borrow::Cow;

use ottla_model::Uuid;

use super::{DecodeError, DecodeErrorKind, EncodeError, Nullable, Reader, Version, Wire, Writer};

macro_rules! fixed_size {
    ($($type:ty, $len:literal, $get:ident, $put:ident, $json:expr;)*) => {$(
        impl<'a> Wire<'a> for $type {
            #[inline]
            fn min_len(_: Version) -> usize {
                $len
            }

            #[inline]
            fn read(r: &mut Reader<'a>, _: Version) -> Result<Self, DecodeError> {
                r.$get()
            }

            #[inline]
            fn write(&self, w: &mut Writer, _: Version) -> Result<(), EncodeError> {
                w.$put(*self);
                Ok(())
            }

            #[cfg(feature = "json")]
            fn json(&self, _: Version) -> serde_json::Value {
                let to_value: fn($type) -> serde_json::Value = $json;
                to_value(*self)
            }
        }
    )*};
}

fixed_size! {
    i8, 1, get_i8, put_i8, serde_json::Value::from;
    i16, 2, get_i16, put_i16, serde_json::Value::from;
    i32, 4, get_i32, put_i32, serde_json::Value::from;
    i64, 8, get_i64, put_i64, serde_json::Value::from;
    u16, 2, get_u16, put_u16, serde_json::Value::from;
    f64, 8, get_f64, put_f64, serde_json::Value::from;
    bool, 1, get_bool, put_bool, serde_json::Value::from;
    Uuid, 16, get_uuid, put_uuid, |uuid| serde_json::Value::from(uuid.to_string());
}

fn not_null<T>(value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeErrorKind::UnexpectedNull.into())
}

fn min_string_len(v: Version) -> usize {
    if v.is_flexible() { 1 } else { 2 }
}

fn min_array_len(v: Version) -> usize {
    if v.is_flexible() { 1 } else { 4 }
}

macro_rules! string {
    ($type:ty) => {
        impl<'a> Wire<'a> for $type {
            #[inline]
            fn min_len(v: Version) -> usize {
                min_string_len(v)
            }

            #[inline]
            fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
                Ok(not_null(r.get_nullable_string(v)?)?.into())
            }

            #[inline]
            fn write(&self, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
                w.put_string(self, v)
            }

            #[cfg(feature = "json")]
            fn json(&self, _: Version) -> serde_json::Value {
                serde_json::Value::from(self.to_string())
            }
        }

        impl<'a> Nullable<'a> for $type {
            #[inline]
            fn min_len_nullable(v: Version) -> usize {
                min_string_len(v)
            }

            #[inline]
            fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
                Ok(r.get_nullable_string(v)?.map(Into::into))
            }

            #[inline]
            fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
                match value {
                    Some(text) => w.put_string(text, v),
                    None => {
                        w.put_null_string(v);
                        Ok(())
                    }
                }
            }
        }
    };
}

string!(&'a str);
string!(Cow<'a, str>);

macro_rules! bytes {
    ($type:ty) => {
        impl<'a> Wire<'a> for $type {
            #[inline]
            fn min_len(v: Version) -> usize {
                min_array_len(v)
            }

            #[inline]
            fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
                Ok(not_null(r.get_nullable_bytes(v)?)?.into())
            }

            #[inline]
            fn write(&self, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
                w.put_bytes(self, v)
            }

            #[cfg(feature = "json")]
            fn json(&self, _: Version) -> serde_json::Value {
                super::json::bytes(self)
            }
        }

        impl<'a> Nullable<'a> for $type {
            #[inline]
            fn min_len_nullable(v: Version) -> usize {
                min_array_len(v)
            }

            #[inline]
            fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
                Ok(r.get_nullable_bytes(v)?.map(Into::into))
            }

            #[inline]
            fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
                match value {
                    Some(bytes) => w.put_bytes(bytes, v),
                    None => {
                        w.put_null_len(v);
                        Ok(())
                    }
                }
            }
        }
    };
}

bytes!(&'a [u8]);
bytes!(Cow<'a, [u8]>);

impl<'a, T: Wire<'a>> Wire<'a> for Vec<T> {
    #[inline]
    fn min_len(v: Version) -> usize {
        min_array_len(v)
    }

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        not_null(r.get_nullable_array(v)?)
    }

    #[inline]
    fn write(&self, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
        w.put_array(self, v)
    }

    #[inline]
    fn error_codes(&self, found: &mut impl FnMut(i16)) {
        self.iter().for_each(|item| item.error_codes(found));
    }

    #[cfg(feature = "json")]
    fn json(&self, v: Version) -> serde_json::Value {
        self.iter().map(|element| element.json(v)).collect()
    }
}

impl<'a, T: Wire<'a>> Nullable<'a> for Vec<T> {
    #[inline]
    fn min_len_nullable(v: Version) -> usize {
        min_array_len(v)
    }

    #[inline]
    fn read_nullable(r: &mut Reader<'a>, v: Version) -> Result<Option<Self>, DecodeError> {
        r.get_nullable_array(v)
    }

    #[inline]
    fn write_nullable(value: Option<&Self>, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
        match value {
            Some(elements) => w.put_array(elements, v),
            None => {
                w.put_null_len(v);
                Ok(())
            }
        }
    }
}

impl<'a, T: Nullable<'a>> Wire<'a> for Option<T> {
    #[inline]
    fn min_len(v: Version) -> usize {
        T::min_len_nullable(v)
    }

    #[inline]
    fn read(r: &mut Reader<'a>, v: Version) -> Result<Self, DecodeError> {
        T::read_nullable(r, v)
    }

    #[inline]
    fn write(&self, w: &mut Writer, v: Version) -> Result<(), EncodeError> {
        T::write_nullable(self.as_ref(), w, v)
    }

    #[inline]
    fn error_codes(&self, found: &mut impl FnMut(i16)) {
        self.iter().for_each(|value| value.error_codes(found));
    }

    #[cfg(feature = "json")]
    fn json(&self, v: Version) -> serde_json::Value {
        self.as_ref().map_or(serde_json::Value::Null, |value| value.json(v))
    }
}
