"""The commands of `tf-transfer`."""
