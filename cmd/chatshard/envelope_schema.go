package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

// envelopeSchema says what envelopes look like (JSON Schema 2020-12).
//
//go:embed envelope.schema.json
var envelopeSchema string

func newConfigSchemaCommand() *cobra.Command {
	return newGroup("schema", "Print the JSON Schema of something", &cobra.Command{
		Use:   "envelope",
		Short: "Print the JSON Schema of the envelope, which every output writes",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write([]byte(envelopeSchema))
			return err
		},
	})
}
