//go:build !linux

package main

import "errors"

// usageOf is for Linux only.
func usageOf(int) (usage, error) { return usage{}, errors.ErrUnsupported }

func ownUsage() (usage, error) { return usage{}, errors.ErrUnsupported }

func files() int { return 0 }
