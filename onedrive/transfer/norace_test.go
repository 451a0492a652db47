//go:build !race

package transfer

const raceFactor = 1
