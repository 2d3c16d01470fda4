package service

// ballast is memory that is never touched, so the system gives none for it, but that counts when the collector asks how much a
// heap may grow until it is collected again. A program of 5 MB that makes a hundred objects for each of a thousand jobs per second
// is collected all the time otherwise.
var ballast = make([]byte, 16<<20)
