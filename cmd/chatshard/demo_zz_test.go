package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

func TestZZ(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ZZN"))
	from, _ := strconv.Atoi(os.Getenv("ZZFROM"))
	for seed := from + 1; seed <= from+n; seed++ {
		synctest.Test(t, func(t *testing.T) {
			args := "demo --seed " + fmt.Sprint(seed) + " " + os.Getenv("ZZARGS")
			code, stdout, stderr := chatshard(t, strings.Fields(args)...)
			fmt.Printf("seed %d exit %d %s%s\n", seed, code, stderr, stdout)
		})
	}
}
