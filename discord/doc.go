// Package discord is a [balancer.Transport] for the Discord gateway.
package discord
