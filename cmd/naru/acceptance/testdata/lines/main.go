// Command lines writes numbered lines of 100 bytes at a steady rate: lines NAME RATE COUNT. Each line is a write of
// its own, as of a program that flushes after each. At the end it tells on stderr how long that took.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is how often the rate is looked at.
const tick = 2 * time.Millisecond

func main() {
	name := os.Args[1]
	rate, rateErr := strconv.Atoi(os.Args[2])
	count, countErr := strconv.Atoi(os.Args[3])
	if rateErr != nil || countErr != nil {
		fmt.Fprintln(os.Stderr, "lines NAME RATE COUNT")
		os.Exit(2)
	}
	fill := strings.Repeat("x", 100-len("00000000 ")-len(name)-len(" \n"))
	began := time.Now()
	for n := 0; n < count; {
		due := min(count, int(time.Since(began).Seconds()*float64(rate))+1)
		for ; n < due; n++ {
			fmt.Fprintf(os.Stdout, "%08d %s %s\n", n, name, fill)
		}
		time.Sleep(tick)
	}
	fmt.Fprintln(os.Stderr, time.Since(began).Seconds())
}
