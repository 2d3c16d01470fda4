package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

const root = "../../k8s"

// overlay is what Kustomize makes of one: what a cluster is given.
type overlay struct {
	name    string
	objects []object
	example []object // the secrets that it needs and leaves to its user
}

// object is one of any kind.
type object struct {
	Kind     string
	Metadata meta
	raw      map[string]any // as JSON decodes it
}

type meta struct {
	Name, Namespace     string
	Labels, Annotations map[string]string
}

func (o object) String() string { return o.Kind + " " + o.Metadata.Name }

// id is how a schema names the kind.
func (o object) id() string { return fmt.Sprint(o.raw["apiVersion"], "/", o.Kind) }

// decode reads an object's spec, by the names that Go's JSON finds in any case.
func decode[T any](o object) T {
	var spec T
	text, err := json.Marshal(o.raw["spec"])
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", o, err)) // the schema has let it pass
	}
	return spec
}

// render makes the objects of an overlay.
func render(t *testing.T, name string) *overlay {
	t.Helper()
	return read(t, name, kustomize(t, name))
}

// kustomize runs Kustomize on an overlay.
func kustomize(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=kustomize.mod", "kustomize", "build", filepath.Join(root, "overlays", name))
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	var faults bytes.Buffer
	cmd.Stderr = &faults
	text, err := cmd.Output()
	require.NoError(t, err, "%s", faults.String())
	require.NotContains(t, faults.String(), "Warning")
	return string(text)
}

// read makes the objects of what Kustomize has written, with the example of the secrets that the overlay has.
func read(t *testing.T, name, text string) *overlay {
	t.Helper()
	o := &overlay{name: name, objects: parse(t, text)}
	if example, err := os.ReadFile(filepath.Join(root, "overlays", name, "secrets.example.yaml")); err == nil {
		o.example = parse(t, string(example))
	}
	return o
}

func parse(t *testing.T, text string) []object {
	t.Helper()
	var objects []object
	for all := yaml.NewDecoder(strings.NewReader(text)); ; {
		var raw map[string]any
		err := all.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		encoded, err := json.Marshal(raw)
		require.NoError(t, err)
		o := object{raw: map[string]any{}}
		require.NoError(t, json.Unmarshal(encoded, &o.raw))
		require.NoError(t, json.Unmarshal(encoded, &o))
		objects = append(objects, o)
	}
}

func (o *overlay) of(kind string) []object {
	return slices.DeleteFunc(slices.Clone(o.objects), func(x object) bool { return x.Kind != kind })
}

func (o *overlay) find(kind, namespace, name string) (object, bool) {
	for _, x := range o.of(kind) {
		if x.Metadata.Name == name && x.Metadata.Namespace == namespace {
			return x, true
		}
	}
	return object{}, false
}

// secret returns the keys of a secret, of the overlay's own or of its example.
func (o *overlay) secret(namespace, name string) (map[string]string, bool) {
	for _, x := range slices.Concat(o.of("Secret"), o.example) {
		if x.Metadata.Name != name || x.Metadata.Namespace != namespace {
			continue
		}
		return texts(x.raw["stringData"]), true
	}
	return nil, false
}

// settings returns what a ConfigMap has.
func (o *overlay) settings(namespace, name string) (map[string]string, bool) {
	x, ok := o.find("ConfigMap", namespace, name)
	return texts(x.raw["data"]), ok
}

func texts(raw any) map[string]string {
	out := map[string]string{}
	fields, _ := raw.(map[string]any)
	for name, value := range fields {
		out[name] = fmt.Sprint(value)
	}
	return out
}

// selector chooses by labels.
type selector struct {
	MatchLabels      map[string]string
	MatchExpressions []struct {
		Key, Operator string
		Values        []string
	}
}

// takes reports whether s chooses what has the labels. An operator that is not known chooses nothing.
func (s selector) takes(labels map[string]string) bool {
	for name, value := range s.MatchLabels {
		if labels[name] != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if e.Operator != "In" || !slices.Contains(e.Values, labels[e.Key]) {
			return false
		}
	}
	return true
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
