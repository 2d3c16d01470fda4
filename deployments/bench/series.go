package main

import (
	"math"
	"slices"
	"time"
)

// series holds what one side of a comparison took, round by round.
type series [][]time.Duration

// percentile is the value that the share p of the samples, from 0 to 1, does not exceed: the nearest rank, so always a
// sample. It is 0 without samples.
func percentile(samples []time.Duration, p float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// percentiles are those of each round, in milliseconds.
func (s series) percentiles(p float64) []float64 {
	each := make([]float64, len(s))
	for i, samples := range s {
		each[i] = milliseconds(percentile(samples, p))
	}
	return each
}

// median is the middle value, or the mean of the two in the middle; 0 without values.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// minus is a - b, element by element.
func minus(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

// over is a / b, element by element.
func over(a, b []float64) []float64 {
	q := make([]float64, len(a))
	for i := range a {
		q[i] = a[i] / b[i]
	}
	return q
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
