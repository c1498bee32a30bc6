//! Embeds the migrations again when one was added: the compiler does not see new folders by itself.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
