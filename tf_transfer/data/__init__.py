"""From files to framed, split and batched images."""
