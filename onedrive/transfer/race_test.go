//go:build race

package transfer

// raceFactor is what the race detector does to memory: five to ten times as much.
const raceFactor = 5
