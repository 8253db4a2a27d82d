"""DeAOT and AOT: trackers of given objects through a video, on their own."""
