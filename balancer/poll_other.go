//go:build !linux

package balancer

import "errors"

func newReadiness() (readiness, error) { return nil, errors.ErrUnsupported }
