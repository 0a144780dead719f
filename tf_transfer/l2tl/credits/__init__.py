"""How the policy of L2TL is credited: one credit a module."""
