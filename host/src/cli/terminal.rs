//! Owns how commands draw: bars, lines of a task's log, tables. Must not know what is drawn.

use crate::task::log::Line;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;
use std::io::IsTerminal;

/// How far a task has got.
pub const TASK: &str = "{bar:40} {pos:>3} %  {elapsed}  {msg}";
/// The most letters of a table's cell.
const WIDEST: usize = 80;

/// A bar on a terminal; nothing elsewhere.
pub fn bar(total: u64, template: &str, is_drawn: bool) -> ProgressBar {
    let is_drawn = is_drawn && std::io::stderr().is_terminal();
    let target = if is_drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A line above the bar.
pub fn above(bar: &ProgressBar, text: &str) {
    bar.suspend(|| super::say_error(text));
}

/// A line of a task's log, as a reader sees it.
pub fn written(Line { level, message, fields, .. }: &Line) -> String {
    let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{:<5} {message}{fields}", level.name())
}

/// Rows under their titles: columns two spaces apart, cut to the terminal's width if there is one.
pub fn table<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows = rows.into_iter().map(|row| row.map(|cell| one_line(&cell)));
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    let widest: [usize; N] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    });
    let width = std::io::stdout().is_terminal().then(|| tcgetwinsize(std::io::stdout()).ok()).flatten();
    let width = width.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0).unwrap_or(usize::MAX);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widest).map(|(cell, widest)| format!("{cell:<widest$}"));
        let line: String = cells.collect::<Vec<_>>().join("  ").trim_end().chars().take(width).collect();
        line
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text of whoever, without what would break the line or drive the terminal.
fn one_line(text: &str) -> String {
    let mut cut: String = text.chars().take(WIDEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(WIDEST).is_some() {
        cut.pop();
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_drives_the_terminal() {
        let rows = vec![["a".into(), "red \u{1b}[31m\nx".into()], ["long".into(), "y".repeat(200)]];
        let lines: Vec<String> = table(["Id", "Error"], rows).lines().map(str::to_owned).collect();
        assert_eq!(lines[..2], ["Id    Error", "a     red  [31m x"]);
        assert_eq!(lines[2], format!("long  {}…", "y".repeat(WIDEST - 1)));
    }
}
