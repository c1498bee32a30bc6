//! Embeds the migrations again when one was added: the compiler does not see new folders by itself.

#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
