"""prometheus-client's multiprocess mode, for apps that use it: the folder in which they have their metrics shows Sluice's, too."""
