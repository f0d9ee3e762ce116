// Package balancertest holds a chat network in memory.
package balancertest
