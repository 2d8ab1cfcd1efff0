"""Protocols: one file each.

``probe`` (linear classifiers of frozen features), ``esc`` (MFCC baselines), ``retrieval``, ``clusters``, ``classify``
(average precision), ``localize``, ``negatives`` (does the map listen?), ``detect``, ``synchrony``, ``separate``,
``units``, ``senses`` (several in one space) and ``stats`` (intervals, paired seeds, the rule of a claim).
All take numpy arrays, tensors on any device, or lists, compute in float64, and say how many clips they judged and what
chance would reach.
"""
