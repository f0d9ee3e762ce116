// Package balancer spreads keys over connections.
package balancer
