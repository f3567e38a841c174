//! What there is to say of a service besides its load.

use penstock_control::status::{ClassStatus, MirrorStatus, TokenStatus};

/// How many requests of each class wait.
pub(super) fn about_classes(classes: &[ClassStatus]) -> String {
    let each: Vec<String> = classes
        .iter()
        .map(|class| format!("{} {}", class.queued, class.name))
        .collect();
    format!("queued by class: {}", each.join(", "))
}

/// Where copies go, and what became of them.
pub(super) fn about_mirror(mirror: &MirrorStatus) -> String {
    let MirrorStatus {
        to,
        percent,
        in_flight,
        sent,
        dropped,
        compared,
        different,
    } = mirror;
    let mut text = format!(
        "mirror to {to} ({percent} %): {in_flight} in flight, {sent} sent, {dropped} dropped"
    );
    if *compared > 0 {
        text += &format!("; {different} of {compared} answers have another status");
    }
    text
}

/// How many tokens there are in a second, and how many there were.
pub(super) fn about_tokens(tokens: &TokenStatus) -> String {
    let TokenStatus {
        input,
        output,
        input_per_second,
        output_per_second,
    } = tokens;
    format!(
        "tokens: {output_per_second:.1} out and {input_per_second:.1} in per second; {output} out and {input} in so far"
    )
}
