"""L2TL: class weights learned by a policy (Zhu et al. 2020)."""
