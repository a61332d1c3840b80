//! Tables as kubectl prints them, and short forms for their cells.

use cpo_api::{Condition, ConditionStatus};
use jiff::Timestamp;

/// Lines whose cells stand below each other; the first is the head.
pub(crate) fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let width_of = |cell: &str| cell.chars().count();
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = width_of(cell).max(*width);
        }
    }
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// A list in one cell: the first of it, and how many more there are.
pub(super) fn shortened(list: &[String]) -> String {
    const SHOWN: usize = 2;
    let shown: Vec<_> = list.iter().take(SHOWN).map(String::as_str).collect();
    match list.len().saturating_sub(SHOWN) {
        0 => shown.join(","),
        more => format!("{} +{more}", shown.join(",")),
    }
}

/// How long ago something was, in its two largest units, as kubectl writes ages.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(seconds, 60, 1, "m", "s"),
        600..7_200 => format!("{}m", seconds / 60),
        7_200..28_800 => two(seconds, 3_600, 60, "h", "m"),
        28_800..172_800 => format!("{}h", seconds / 3_600),
        172_800..691_200 => two(seconds, 86_400, 3_600, "d", "h"),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn two(seconds: i64, large: i64, small: i64, of_large: &str, of_small: &str) -> String {
    match seconds % large / small {
        0 => format!("{}{of_large}", seconds / large),
        rest => format!("{}{of_large}{rest}{of_small}", seconds / large),
    }
}

/// A condition by its type.
pub(super) fn condition<'c>(conditions: &'c [Condition], type_: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is there and holds.
pub(super) fn holds(condition: Option<&Condition>) -> bool {
    condition.is_some_and(|condition| condition.status == ConditionStatus::True)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = [["A", "B"], ["long", "x"]].map(|line| line.map(str::to_owned));
        assert_eq!(aligned(&lines), "A      B\nlong   x\n");
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let list: Vec<_> = ["a", "b", "c", "d"].map(str::to_owned).into();
        assert_eq!(shortened(&list), "a,b +2");
        assert_eq!(shortened(&list[..2]), "a,b");
        assert_eq!(shortened(&[]), "");
    }

    #[test]
    fn an_age_has_its_two_largest_units_while_the_second_matters() {
        let at =
            |seconds: i64| age(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        let ages = [-5, 17, 120, 185, 3_599, 7_260, 90_000, 180_000, 864_000].map(at);
        assert_eq!(ages, ["0s", "17s", "2m", "3m5s", "59m", "2h1m", "25h", "2d2h", "10d"]);
    }
}
