"""PerSAM and PerSAM-F: SAM told by one mask what to segment (Zhang et al., "Personalize Segment Anything Model").

Behaviour follows the official repository ZrrSkywalker/Personalize-SAM; differences are named where they are.
"""
