//! Tables for people.

use std::io::{self, Write};

use anstyle::Style;

/// Writes rows in columns as wide as their widest cell, two spaces apart, each row in its style.
/// Columns from `numbers` on have their numbers to the right. What a terminal would obey is
/// replaced.
pub(crate) fn write<const N: usize>(
    rows: &[(Style, [String; N])],
    numbers: usize,
    output: &mut dyn Write,
) -> io::Result<()> {
    let mut widths = [0; N];
    for (_, row) in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for (style, row) in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let cell = printable(cell);
            line.push_str(&match cell.bytes().all(|byte| byte.is_ascii_digit()) {
                true if column >= numbers => format!("{cell:>width$}  "),
                _ => format!("{cell:<width$}  "),
            });
        }
        writeln!(output, "{style}{}{style:#}", line.trim_end())?;
    }
    Ok(())
}

/// A text without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_reaches_the_terminal() {
        let row = |cells: [&str; 3]| (Style::new(), cells.map(str::to_owned));
        let rows =
            [row(["KEY", "NAME", "N"]), row(["7", "\u{1b}[31mred", "10"]), row(["a", "é", "9"])];
        let mut output = Vec::new();
        write(&rows, 2, &mut output).unwrap();
        let expected = "KEY  NAME      N\n\
                        7    \u{fffd}[31mred  10\n\
                        a    é          9\n";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }
}
