package main

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const envPrefix = "CHATSHARD_"

// overlay puts environment variables over what the file says: the key
// twitch.account.token_file is CHATSHARD_TWITCH_ACCOUNT_TOKEN_FILE. Lists of
// channels cannot be given so; accounts and IRC networks that the file has can
// be changed (CHATSHARD_TWITCH_ACCOUNTS_0_TOKEN, CHATSHARD_IRC_LIBERA_NICK).
type overlay struct {
	d     *decoder
	env   map[string]string
	known []string
}

// overlayEnv applies environ, a list of NAME=value, to c.
func (d *decoder) overlayEnv(c *config, environ []string) {
	o := overlay{d: d, env: map[string]string{}}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		// Kubernetes sets these for a service that is called chatshard.
		injected := strings.HasPrefix(name, envPrefix+"SERVICE_") || strings.HasPrefix(name, envPrefix+"PORT")
		if strings.HasPrefix(name, envPrefix) && !injected {
			o.env[name] = value
		}
	}
	if len(o.env) == 0 {
		return
	}
	o.walk(reflect.ValueOf(c).Elem(), "", strings.TrimSuffix(envPrefix, "_"))
	var unknown []string
	for name := range o.env {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		fix := "unset it; names follow the keys of the file, as in CHATSHARD_TWITCH_CHANNELS_PER_SHARD"
		if near := nearest(name, lowered(o.known)); near != "" {
			fix = "did you mean " + strings.ToUpper(near) + "?"
		}
		d.fail(position{file: name}, "no such setting", fix)
	}
}

func lowered(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

// walk visits every scalar below v and reports whether it set any.
func (o *overlay) walk(v reflect.Value, path, name string) (set bool) {
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	if v.Kind() == reflect.Struct && v.Type() == reflect.TypeFor[tlsConfig]() {
		// Either on its own, or the keys below it.
		set = o.scalar(v, path, name)
		isText = false
	}
	switch {
	case isText:
		return o.scalar(v, path, name)
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			return o.walk(v.Elem(), path, name)
		}
		fresh := newWithDefaults(v.Type().Elem())
		if set = o.walk(fresh.Elem(), path, name); set {
			v.Set(fresh)
		}
	case v.Kind() == reflect.Struct:
		set = o.fields(v, path, name) || set
	case v.Kind() == reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			n := name + "_" + envName(k.String())
			set = o.walk(v.MapIndex(k).Elem(), path+"."+k.String(), n) || set
		}
	case v.Kind() == reflect.Slice:
		if v.Type().Elem() == reflect.TypeFor[channelConfig]() {
			return false
		}
		for i := range v.Len() {
			set = o.walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), name+"_"+strconv.Itoa(i)) || set
		}
	default:
		return o.scalar(v, path, name)
	}
	return set
}

func (o *overlay) fields(v reflect.Value, path, name string) (set bool) {
	keys := keysOf(v.Type())
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		full := strings.TrimPrefix(path+"."+k, ".")
		if !o.walk(v.FieldByIndex(keys[k]), full, name+"_"+envName(k)) {
			continue
		}
		set = true
		// A secret from the environment takes the place of the file's, however
		// that gave it.
		for _, secret := range []string{"token", "password", "secret", "url"} {
			if rest, ok := strings.CutPrefix(k, secret); ok && (rest == "" || rest == "_file" || rest == "_env") {
				for _, other := range []string{secret, secret + "_file", secret + "_env"} {
					if index, ok := keys[other]; ok && o.d.at[strings.TrimPrefix(path+"."+other, ".")].line > 0 {
						v.FieldByIndex(index).SetZero()
						delete(o.d.at, strings.TrimPrefix(path+"."+other, "."))
					}
				}
			}
		}
	}
	return set
}

func envName(key string) string { return strings.ToUpper(strings.ReplaceAll(key, "-", "_")) }

// scalar sets v from the variable called name, if there is one.
func (o *overlay) scalar(v reflect.Value, path, name string) bool {
	o.known = append(o.known, name)
	text, ok := o.env[name]
	if !ok {
		return false
	}
	delete(o.env, name)
	at := position{file: name}
	o.d.at[path] = at
	if tu, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		o.d.text(at, path, text, tu)
		return true
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true", "1":
			v.SetBool(true)
		case "false", "0":
			v.SetBool(false)
		default:
			o.d.fail(at, path+": "+quote(text)+" is neither true nor false", "write true or false")
		}
	case reflect.Int:
		i, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			o.d.fail(at, path+": "+quote(text)+" is not a whole number", "write one")
			return true
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("config: %s: no variable for a %v", path, v.Type()))
	}
	return true
}
