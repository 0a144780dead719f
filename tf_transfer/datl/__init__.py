"""DATL: class weights estimated from target images (Ngiam et al. 2018)."""
