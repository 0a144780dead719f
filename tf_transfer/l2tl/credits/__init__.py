"""Credits: how one step of L2TL becomes the policy's loss.

Zhu et al. 2020 credit all classes with one scalar reward (`reinforce`). The
noise of that reward hides the effect of a single class: in our measurements
the policy learns nothing from it. The other credits measure the effect of
every source class on the validation images and average it over steps:
`feature` on the encoder's output, which costs next to nothing, and `gradient`
through the encoder.
"""
