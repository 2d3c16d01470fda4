package main

import "sluice/deployments/internal/process"

// child is a program that was started.
type child struct {
	*process.Process
	url     string // of an api
	private string // address for profiles, of an api or a worker
}

// start starts the program at path. The caller stops it.
func start(path string, env []string, args ...string) (*child, error) {
	p, err := process.Start(path, env, args...)
	return &child{Process: p}, err
}
