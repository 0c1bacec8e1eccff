//! What a message says, in words: what is not text stands in brackets before its caption.

use serde_json::Value;
use teloxide::types::{MediaKind, Message, MessageKind, Seconds};

/// The words; `None` for a service message.
pub(super) fn text(message: &Message) -> Option<String> {
    let media = match &message.kind {
        MessageKind::Common(common) => describe(&common.media_kind)?,
        MessageKind::Dice(dice) => format!("[dice: {}]", dice.dice.value),
        MessageKind::Invoice(_) => "[invoice]".to_owned(),
        _ => return None,
    };
    let words = message.text().or(message.caption()).unwrap_or_default();
    let text = format!("{media} {words}").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The words of a message that the types do not fit; `None` if it has none and is of no kind that we
/// know.
pub(super) fn words(message: &Value) -> Option<String> {
    const KINDS: [&str; 14] = [
        "animation",
        "audio",
        "contact",
        "document",
        "game",
        "location",
        "paid_media",
        "photo",
        "poll",
        "sticker",
        "story",
        "video",
        "video_note",
        "voice",
    ];
    let kind = KINDS.iter().find(|kind| message.get(**kind).is_some());
    let media = kind.map(|kind| format!("[{}]", kind.replace('_', " ")));
    let words = message.get("text").or(message.get("caption"));
    let words = words.and_then(Value::as_str);
    let text = format!(
        "{} {}",
        media.unwrap_or_default(),
        words.unwrap_or_default()
    );
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// What it is besides words: empty for plain text.
fn describe(media: &MediaKind) -> Option<String> {
    Some(match media {
        MediaKind::Text(_) => String::new(),
        MediaKind::Animation(_) => "[animation]".to_owned(),
        MediaKind::Audio(media) => {
            let title = media
                .audio
                .title
                .as_ref()
                .or(media.audio.file_name.as_ref());
            labelled("audio", title)
        }
        MediaKind::Contact(media) => {
            let contact = &media.contact;
            format!("[contact: {} {}]", contact.first_name, contact.phone_number)
        }
        MediaKind::Document(media) => labelled("file", media.document.file_name.as_ref()),
        MediaKind::PaidMedia(_) => "[paid media]".to_owned(),
        MediaKind::Game(media) => format!("[game: {}]", media.game.title),
        MediaKind::Venue(media) => {
            let venue = &media.venue;
            let (latitude, longitude) = (venue.location.latitude, venue.location.longitude);
            format!(
                "[place: {}, {} ({latitude}, {longitude})]",
                venue.title, venue.address
            )
        }
        MediaKind::Location(media) => {
            let place = &media.location;
            format!("[location: {}, {}]", place.latitude, place.longitude)
        }
        MediaKind::Photo(_) => "[photo]".to_owned(),
        MediaKind::Poll(media) => format!("[poll: {}]", media.poll.question),
        MediaKind::Checklist(_) => "[checklist]".to_owned(),
        MediaKind::Sticker(media) => labelled("sticker", media.sticker.emoji.as_ref()),
        MediaKind::Story(_) => "[story]".to_owned(),
        MediaKind::Video(media) => lasting("video", media.video.duration),
        MediaKind::VideoNote(media) => lasting("video message", media.video_note.duration),
        MediaKind::Voice(media) => lasting("voice message", media.voice.duration),
        MediaKind::Migration(_) => return None,
    })
}

fn labelled(kind: &str, label: Option<&String>) -> String {
    match label {
        Some(label) => format!("[{kind}: {label}]"),
        None => format!("[{kind}]"),
    }
}

fn lasting(kind: &str, duration: Seconds) -> String {
    format!("[{kind}, {} s]", duration.seconds())
}
