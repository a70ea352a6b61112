//! What a scenario tells whoever runs it: seeds to repeat it with, and figures that no test asserts.

/// Prints one line.
#[expect(clippy::print_stdout, reason = "`./x test` shows what scenarios measured")]
pub fn say(line: &str) {
    println!("{line}");
}
