package main

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder turns the tree of a YAML file into a value. Unlike the library's
// own decoding it goes on after a mistake, so that all are reported, and it
// remembers where each value stood, for the checks that come later.
type decoder struct {
	file     string
	at       map[string]position // by path: twitch.channels[3].name
	anchors  map[string]ast.Node
	problems configError
}

// maxDepth is deeper than any configuration; an alias may refer to itself.
const maxDepth = 20

func (d *decoder) fail(at position, what, fix string) {
	d.problems = append(d.problems, problem{at: at, what: what, fix: fix})
}

// decodeFile decodes the text of a file into v, a pointer.
func (d *decoder) decodeFile(text []byte, v any) {
	start := position{d.file, 1, 1}
	if !utf8.Valid(text) {
		line, col := 1, 1
		for len(text) > 0 {
			r, n := utf8.DecodeRune(text)
			if r == utf8.RuneError && n == 1 {
				break
			}
			if col++; r == '\n' {
				line, col = line+1, 1
			}
			text = text[n:]
		}
		d.fail(position{d.file, line, col}, "not UTF-8", "save the file as UTF-8")
		return
	}
	file, err := parseYAML(text)
	if err != nil {
		d.syntax(err)
		return
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.fail(d.pos(doc.Body), "a second document", "keep one; remove the line ---")
			return
		}
		body = doc.Body
	}
	if body == nil {
		d.fail(start, "the file is empty", `write one with "chatshard config init"`)
		return
	}
	d.value(body, reflect.ValueOf(v).Elem(), "", 0)
}

// parseYAML guards against panics of the library: it reads what users wrote.
func parseYAML(text []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	// Duplicate keys are reported with the rest.
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
}

func (d *decoder) syntax(err error) {
	at := position{d.file, 1, 1}
	what := "not YAML"
	var se yaml.Error
	if errors.As(err, &se) {
		// Not Error(): it prints the lines around, where a token may stand.
		if t := se.GetToken(); t != nil {
			at = d.tokenPos(t)
		}
		what = "not YAML: " + strings.ReplaceAll(se.GetMessage(), "\n", " ")
	}
	d.fail(at, what, `check indentation, brackets and quotes here and in the line before; a name that begins with # stands in quotes`)
}

func (d *decoder) tokenPos(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{d.file, 1, 1}
	}
	return position{d.file, max(1, t.Position.Line), max(1, t.Position.Column)}
}

// pos returns where a node begins.
func (d *decoder) pos(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return d.pos(n.Values[0])
		}
	case *ast.MappingValueNode:
		return d.pos(n.Key)
	}
	return d.tokenPos(n.GetToken())
}

// resolve follows anchors, aliases and tags.
func (d *decoder) resolve(n ast.Node) ast.Node {
	for range maxDepth {
		switch v := n.(type) {
		case *ast.AnchorNode:
			if d.anchors == nil {
				d.anchors = map[string]ast.Node{}
			}
			d.anchors[v.Name.GetToken().Value] = v.Value
			n = v.Value
		case *ast.AliasNode:
			name := v.Value.GetToken().Value
			to, ok := d.anchors[name]
			if !ok {
				d.fail(d.pos(v), "no anchor &"+clipped(name, 40)+" above this alias", "define it first, or write the value out")
				return nil
			}
			n = to
		case *ast.TagNode:
			n = v.Value
		default:
			return n
		}
	}
	d.fail(d.pos(n), "an alias refers to itself", "write the value out")
	return nil
}

// value decodes n into v. path names v in messages.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, depth int) {
	at := d.pos(n)
	if depth > maxDepth {
		d.fail(at, path+": nested too deep", "write the value out instead of an alias that refers to itself")
		return
	}
	if _, ok := d.at[path]; !ok || path == "" {
		d.at[path] = at
	}
	if n = d.resolve(n); n == nil {
		return
	}
	if _, null := n.(*ast.NullNode); null {
		d.null(v)
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(newWithDefaults(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path, depth+1)
		return
	}
	if tu, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if text, scalar := scalarText(n); scalar {
			d.text(at, path, text, tu)
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		m, ok := n.(ast.MapNode)
		if !ok {
			d.mismatch(at, path, "a mapping", n)
			return
		}
		if _, scalarOnly := v.Addr().Interface().(fmt.Stringer); scalarOnly {
			d.mismatch(at, path, "a single value", n)
			return
		}
		d.mapping(m, v, path, depth)
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.mismatch(at, path, "a list", n)
			return
		}
		d.sequence(seq, v, path, depth)
	case reflect.String:
		text, scalar := scalarText(n)
		switch n.(type) {
		case *ast.StringNode, *ast.LiteralNode:
			v.SetString(text)
			return
		}
		if scalar {
			d.fail(at, fmt.Sprintf("%s: wrong type: %s", path, kindOf(n)), fmt.Sprintf("put it in quotes: %q", text))
			return
		}
		d.mismatch(at, path, "text", n)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.mismatch(at, path, "true or false", n)
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		text, _ := scalarText(n)
		i, err := strconv.ParseInt(text, 10, 32)
		if _, ok := n.(*ast.IntegerNode); !ok {
			d.mismatch(at, path, "a whole number", n)
			return
		}
		if err != nil {
			d.fail(at, fmt.Sprintf("%s: %s is out of range", path, quote(text)), "write a whole number in decimal digits, at most 2147483647")
			return
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("config: %s: no decoding of a %v", path, v.Type()))
	}
}

// null leaves the default, except that an empty section is there.
func (d *decoder) null(v reflect.Value) {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		v.Set(newWithDefaults(v.Type().Elem()))
	}
}

func (d *decoder) text(at position, path, text string, v encoding.TextUnmarshaler) {
	err := v.UnmarshalText([]byte(text))
	var ve *valueError
	switch {
	case errors.As(err, &ve):
		d.fail(at, path+": "+ve.what, ve.fix)
	case err != nil:
		d.fail(at, path+": "+err.Error(), "see chatshard config init")
	}
}

func (d *decoder) mismatch(at position, path, want string, n ast.Node) {
	if path == "" {
		path = "the file"
	}
	d.fail(at, fmt.Sprintf("%s: wrong type: %s", path, kindOf(n)), "write "+want)
}

func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	default:
		return n.Type().String()
	}
}

// scalarText returns a scalar as it is written.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func (d *decoder) sequence(seq *ast.SequenceNode, v reflect.Value, path string, depth int) {
	v.Set(reflect.MakeSlice(v.Type(), 0, len(seq.Values)))
	for i, item := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		if _, null := item.(*ast.NullNode); null {
			d.fail(d.pos(item), p+": empty", `remove the item, or put quotes around a name that begins with #, as in "#go"`)
			continue
		}
		e := newWithDefaults(v.Type().Elem())
		d.at[p] = d.pos(item)
		d.value(item, e.Elem(), p, depth+1)
		// A gap in the list would shift the paths of what follows.
		v.Set(reflect.Append(v, e.Elem()))
	}
}

func (d *decoder) mapping(m ast.MapNode, v reflect.Value, path string, depth int) {
	seen := map[string]position{}
	var fields map[string][]int
	if v.Kind() == reflect.Struct {
		fields = keysOf(v.Type())
	} else if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for it := m.MapRange(); it.Next(); {
		key, at := it.Key(), d.pos(it.Key())
		if key.IsMergeKey() {
			if merged, ok := d.resolve(it.Value()).(ast.MapNode); ok && depth < maxDepth {
				d.mapping(merged, v, path, depth+1)
			} else {
				d.fail(at, "<<: only one mapping can be merged", "write <<: *name")
			}
			continue
		}
		name := key.GetToken().Value
		full := strings.TrimPrefix(path+"."+name, ".")
		if first, twice := seen[name]; twice {
			d.fail(at, fmt.Sprintf("%s: key given twice: first at %v", full, first), "remove one")
			continue
		}
		seen[name] = at
		d.at[full+":"] = at
		delete(d.at, full) // merged values make way
		switch value := d.resolve(it.Value()); value.(type) {
		case nil:
			continue
		case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode, *ast.NullNode:
			d.at[full] = at // of the key: a block has no other place to point at
		}
		if v.Kind() == reflect.Map {
			e := newWithDefaults(v.Type().Elem().Elem())
			d.value(it.Value(), e.Elem(), full, depth+1)
			v.SetMapIndex(reflect.ValueOf(name), e)
			continue
		}
		index, ok := fields[name]
		switch {
		case ok:
			d.value(it.Value(), v.FieldByIndex(index), full, depth+1)
		case path == "" && strings.HasPrefix(name, "x-"):
			// A place for anchors.
		default:
			d.unknown(at, full, name, fields)
		}
	}
}

func (d *decoder) unknown(at position, full, name string, fields map[string][]int) {
	valid := make([]string, 0, len(fields))
	for k := range fields {
		valid = append(valid, k)
	}
	slices.Sort(valid)
	fix := "use one of " + strings.Join(valid, ", ")
	if near := nearest(name, valid); near != "" {
		fix = "did you mean " + near + "?"
	}
	d.fail(at, clipped(full, 80)+": unknown key", fix)
}

// newWithDefaults returns a pointer to a new value of type t.
func newWithDefaults(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if def, ok := v.Interface().(defaulter); ok {
		def.defaults()
	}
	return v
}

// keysOf returns the keys of a struct's mapping and where their fields are.
func keysOf(t reflect.Type) map[string][]int {
	keys := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("yaml")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case !ok || name == "-":
		case f.Anonymous:
			for k, index := range keysOf(f.Type) {
				keys[k] = append([]int{i}, index...)
			}
		default:
			keys[name] = []int{i}
		}
	}
	return keys
}

// nearest returns the word that is most like s, or "" if none is.
func nearest(s string, words []string) string {
	best, least := "", len(s)/3+2
	for _, w := range words {
		if n := distance(strings.ToLower(s), w); n < least {
			best, least = w, n
		}
	}
	return best
}

// distance is how many characters must be added, removed, replaced or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
