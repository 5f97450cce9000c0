"""What the backend knows of Wan's models before it looks at a disk: catalogue.toml, architectures, what each can do."""
