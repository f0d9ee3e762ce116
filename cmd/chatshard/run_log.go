package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
)

// newLogger returns a logger to w: readable on a terminal, JSON elsewhere,
// unless format says which.
func newLogger(w io.Writer, level logLevel, format logFormat) zerolog.Logger {
	if format == "console" || format == "auto" && isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w) || os.Getenv("NO_COLOR") != ""}
	}
	l, err := zerolog.ParseLevel(string(level))
	if err != nil {
		l = zerolog.InfoLevel
	}
	return zerolog.New(zerolog.SyncWriter(w)).Level(l).With().Timestamp().Logger()
}

// isTerminal reports whether w is a terminal that can move its cursor.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && f.Name() != os.DevNull
}
