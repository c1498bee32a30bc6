//! Opening (17.4): sync's own tables, the app's migrations, capture triggers and what growth asks for are one commit.
