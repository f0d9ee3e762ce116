package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compiled returns the schema that the binary prints.
var compiled = sync.OnceValue(func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(envelopeSchema))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource("urn:chatshard:envelope:1", doc); err != nil {
		panic(err)
	}
	return c.MustCompile("urn:chatshard:envelope:1")
})

// follows says whether an envelope follows the schema.
func follows(t testing.TB, line []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		t.Fatalf("not JSON: %v\n%s", err, line)
	}
	return compiled().Validate(doc)
}

// goldenLines are the envelopes of all golden files.
func goldenLines(t *testing.T) (all [][]byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "envelope", "*.ndjson"))
	if err != nil || len(files) != 5 {
		t.Fatalf("golden files: %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))...)
	}
	return all
}

func TestSchemaCommand(t *testing.T) {
	code, stdout, stderr := chatshard(t, "config", "schema", "envelope")
	if code != exitOK || stdout != envelopeSchema || stderr != "" {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if code, _, stderr := chatshard(t, "config", "schema"); code != exitUsage || !strings.Contains(stderr, "which one? envelope") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// The golden files follow the schema, and have all that it knows of.
func TestSchemaOfGoldenFiles(t *testing.T) {
	kinds, flags, keys := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, line := range goldenLines(t) {
		env := read(t, line)
		kinds[env.Kind] = true
		for _, f := range env.Flags {
			flags[f] = true
		}
		var all map[string]any
		if err := json.Unmarshal(line, &all); err != nil {
			t.Fatal(err)
		}
		for k := range all {
			keys[k] = true
		}
	}
	var schema struct {
		Properties map[string]struct {
			OneOf []struct{ Const, Description string }
			Items struct {
				OneOf []struct{ Const, Description string }
			}
		}
	}
	if err := json.Unmarshal([]byte(envelopeSchema), &schema); err != nil {
		t.Fatal(err)
	}
	for _, k := range schema.Properties["kind"].OneOf {
		if !kinds[k.Const] || k.Description == "" {
			t.Errorf("kind %s: in a golden file: %v, described: %q", k.Const, kinds[k.Const], k.Description)
		}
	}
	for _, f := range schema.Properties["flags"].Items.OneOf {
		if !flags[f.Const] || f.Description == "" {
			t.Errorf("flag %s: in a golden file: %v, described: %q", f.Const, flags[f.Const], f.Description)
		}
	}
	for k := range schema.Properties {
		if !keys[k] {
			t.Errorf("%s is in no golden file", k)
		}
	}
}

// The example of the README follows the schema.
func TestSchemaOfReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```json\n")
	line, _, ok := strings.Cut(rest, "\n```")
	if !ok {
		t.Fatal("no example")
	}
	read(t, []byte(line))
}

// The type that reads envelopes and the schema have the same keys.
func TestSchemaOfType(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(envelopeSchema), &schema); err != nil {
		t.Fatal(err)
	}
	defs := schema["$defs"].(map[string]any)
	var compare func(path string, typ reflect.Type, s map[string]any)
	compare = func(path string, typ reflect.Type, s map[string]any) {
		if ref, ok := s["$ref"].(string); ok {
			s = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
			if typ.Kind() == reflect.Slice {
				s, _ = s["items"].(map[string]any)
			}
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		properties, _ := s["properties"].(map[string]any)
		var want []string
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			want = append(want, name)
			if sub, ok := properties[name].(map[string]any); ok {
				compare(path+"."+name, f.Type, sub)
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
			t.Errorf("%s has the keys %q in the schema, %q in the type", path, got, want)
		}
		if s["additionalProperties"] != false {
			t.Errorf("%s takes any key", path)
		}
	}
	compare("envelope", reflect.TypeFor[envelope](), schema)
}

// ofKinds are keys that not every kind has: a value that is right by itself, and
// the kinds.
var ofKinds = map[string]struct {
	value any
	kinds []string
}{
	"target":      {map[string]any{"message_id": "x", "user": map[string]any{"id": "1"}}, []string{"edit", "delete", "reaction", "clear", "kick", "user_notice"}},
	"text":        {"x", []string{"message", "whisper", "notice", "user_notice", "edit", "delete", "interaction", "part", "kick", "topic"}},
	"system_text": {"x", []string{"user_notice"}},
	"params":      {map[string]any{"x": "y"}, []string{"user_notice"}},
	"reply_to":    {map[string]any{"id": "x"}, []string{"message", "whisper", "user_notice", "edit"}},
	"shared":      {map[string]any{"channel_id": "x"}, []string{"message", "whisper", "user_notice"}},
	"emoji":       {map[string]any{"name": "x"}, []string{"reaction"}},
	"bits":        {1, []string{"message", "whisper"}},
	"reward_id":   {"x", []string{"message", "whisper"}},
	"seconds":     {1, []string{"clear"}},
	"room":        {map[string]any{}, []string{"room_state"}},
	"gap":         {map[string]any{"dropped": 0}, []string{"gap"}},
	"guilds":      {map[string]any{"all": 1, "missing": 0}, []string{"ready"}},
	"error":       {"x", []string{"part", "refused", "gap", "down"}},
	"until":       {"2026-01-02T15:04:05.000Z", []string{"refused"}},
}

// The schema refuses what an encoder could do wrong: each golden envelope with
// one thing changed.
func TestSchemaRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of envelopes: not with -short")
	}
	n := 0
	for _, line := range goldenLines(t) {
		change := func() (doc map[string]any) {
			if err := json.Unmarshal(line, &doc); err != nil {
				t.Fatal(err)
			}
			return doc
		}
		refuse := func(what string, doc map[string]any) {
			n++
			changed, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if follows(t, changed) == nil {
				t.Errorf("%s passes: %s", what, changed)
			}
		}
		without := func(k string) {
			doc := change()
			delete(doc, k)
			refuse("without "+k, doc)
		}
		with := func(k string, v any) {
			doc := change()
			doc[k] = v
			refuse(fmt.Sprintf("%s: %v", k, v), doc)
		}

		was := change()
		kind := was["kind"].(string)
		for _, k := range []string{"v", "cursor", "id", "received", "platform", "account", "shard", "kind"} {
			without(k)
		}
		switch kind {
		case "edit", "delete", "reaction", "kick":
			without("target")
		case "room_state":
			without("room")
		case "gap":
			without("gap")
		case "ready":
			without("guilds")
		case "other":
			without("type")
		}
		switch kind {
		case "join", "part", "other":
		case "refused", "gap", "up", "down", "cut_over", "ready":
			with("raw", "x")
		default:
			if was["raw"] != nil {
				without("raw")
			}
		}
		for k, v := range was {
			with(k, nil)
			with(k, []any{[]any{}})
			switch v.(type) {
			case map[string]any:
				with(k, "x")
				doc := change()
				doc[k].(map[string]any)["colour"] = 1
				refuse("a new key in "+k, doc)
			case string:
				with(k, 1)
			default:
				with(k, "x")
			}
		}
		for _, k := range []string{"time", "received"} {
			for _, bad := range []string{"", "2026-01-02T15:04:05Z", "2026-01-02 15:04:05.000Z", "2026-01-02T15:04:05.000+01:00", "-001-01-02T15:04:05.000Z"} {
				with(k, bad)
			}
		}
		for k, of := range ofKinds {
			if !slices.Contains(of.kinds, kind) {
				with(k, of.value)
			}
		}
		with("v", 2)
		with("id", "")
		with("kind", "shout")
		with("platform", "telegraph")
		with("shard", "first")
		with("channel", map[string]any{})
		with("colour", "red")
		with("flags", []string{})
		with("flags", []string{"loud"})
		with("flags", []string{"self", "self"})
		with("raw_base64", "?")
		if was["raw"] != nil {
			with("raw_omitted", 1)
		} else {
			with("raw_base64", "AAAA")
		}
	}
	if n < 5000 {
		t.Errorf("%d changes tried, want thousands", n)
	}
}
