// Package bench measures Conductor as whole processes on real input, beside the
// tools that people use today. `make bench` runs it and prints the ratios.
package bench
