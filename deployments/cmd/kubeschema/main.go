// Command kubeschema writes the JSON schemas that package verify/kube checks deployments/k8s by, into the folder that it is
// given: one for each version of Kubernetes, cut to the kinds that are used there, with KEDA's and the Prometheus operator's.
// It takes them from the modules of those projects (Apache License 2.0), and drops what describes without deciding.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

const (
	kubernetes = "k8s.io/kubernetes"
	keda       = "github.com/kedacore/keda/v2@v2.21.0"
	operator   = "github.com/prometheus-operator/prometheus-operator@v0.94.0"
)

// versions of Kubernetes: the oldest that has all that is used, and the newest there is.
var versions = []string{"v1.30.14", "v1.37.1"}

// groups are the files of Kubernetes' OpenAPI, with the kinds that are taken from them.
var groups = map[string][]string{
	"api__v1":                     {"ConfigMap", "Namespace", "PersistentVolumeClaim", "Secret", "Service", "ServiceAccount"},
	"apis__apps__v1":              {"Deployment", "StatefulSet"},
	"apis__batch__v1":             {"Job"},
	"apis__networking.k8s.io__v1": {"Ingress", "NetworkPolicy"},
	"apis__policy__v1":            {"PodDisruptionBudget"},
}

// resources are the definitions of other kinds.
var resources = map[string][]string{
	keda:     {"config/crd/bases/keda.sh_scaledobjects.yaml"},
	operator: {"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"},
}

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

type object = map[string]any

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "kubeschema: want a folder to write to")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "kubeschema:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	for _, version := range versions {
		schema, err := build(ctx, version)
		if err != nil {
			return err
		}
		text, err := json.Marshal(schema)
		if err != nil {
			return fmt.Errorf("encode schema: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, version+".json"), append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("write schema: %w", err)
		}
	}
	return nil
}

// build makes one schema: its $defs are Kubernetes' own and, by apiVersion/kind, the kinds.
func build(ctx context.Context, version string) (object, error) {
	defs := object{}
	dir, err := module(ctx, kubernetes+"@"+version)
	if err != nil {
		return nil, err
	}
	for file, kinds := range groups {
		if err := group(filepath.Join(dir, "api/openapi-spec/v3", file+"_openapi.json"), kinds, defs); err != nil {
			return nil, err
		}
	}
	for from, files := range resources {
		dir, err := module(ctx, from)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if err := resource(filepath.Join(dir, file), defs); err != nil {
				return nil, err
			}
		}
	}
	comment := fmt.Sprintf("Written by kubeschema from %s@%s, %s and %s; Apache License 2.0.", kubernetes, version, keda, operator)
	return object{"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": comment, "$defs": defs}, nil
}

// module returns the folder of a module, downloading it if need be.
func module(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", name)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	out, err := cmd.Output()
	var found struct{ Dir, Error string }
	if bad := json.Unmarshal(out, &found); bad != nil || found.Dir == "" {
		return "", fmt.Errorf("download %s: %s %w", name, found.Error, err)
	}
	return found.Dir, nil
}

// group adds the kinds of a file, and what they refer to.
func group(path string, kinds []string, defs object) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read kinds: %w", err)
	}
	var file struct {
		Components struct{ Schemas map[string]object }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	left := map[string]bool{}
	for _, kind := range kinds {
		left[kind] = true
	}
	for name, schema := range file.Components.Schemas {
		known, _ := schema["x-kubernetes-group-version-kind"].([]any)
		for _, k := range known {
			id, _ := k.(object)
			if kind := fmt.Sprint(id["kind"]); len(known) == 1 && left[kind] {
				delete(left, kind)
				defs[key(id["group"], id["version"], kind)] = ref(name)
				follow(name, file.Components.Schemas, defs)
			}
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%s lacks %v", path, left)
	}
	return nil
}

func key(group, version any, kind string) string {
	return strings.TrimPrefix(fmt.Sprintf("%v/%v/%s", group, version, kind), "/")
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

// follow adds a definition and those that it refers to.
func follow(name string, all map[string]object, defs object) {
	if _, done := defs[name]; done {
		return
	}
	defs[name] = true // it may refer to itself
	defs[name] = strip(all[name], func(to string) { follow(to, all, defs) })
}

// resource adds the kind that a CustomResourceDefinition defines.
func resource(path string, defs object) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read kind: %w", err)
	}
	var file struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPI object `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, v := range file.Spec.Versions {
		schema, _ := strip(v.Schema.OpenAPI, nil).(object)
		properties, _ := schema["properties"].(object)
		properties["metadata"] = ref(meta)
		defs[key(file.Spec.Group, v.Name, file.Spec.Names.Kind)] = schema
	}
	return nil
}

// strip makes of an OpenAPI schema one that refuses what it does not know, and calls refer for each definition that it
// refers to.
func strip(value any, refer func(string)) any {
	switch v := value.(type) {
	case object:
		return stripObject(v, refer)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = strip(v[i], refer)
		}
		return list
	default:
		return value
	}
}

func stripObject(v object, refer func(string)) object {
	out := object{}
	for name, value := range v {
		switch text, isText := value.(string); {
		case name == "$ref" && isText:
			to := text[strings.LastIndex(text, "/")+1:]
			refer(to)
			out["$ref"] = "#/$defs/" + to
		case strings.HasPrefix(name, "x-kubernetes-"), name == "description" && isText, name == "default", name == "example":
		case name == "properties":
			fields, _ := value.(object)
			kept := object{}
			for field, schema := range fields {
				kept[field] = strip(schema, refer)
			}
			out[name] = kept
		default:
			out[name] = strip(value, refer)
		}
	}
	_, typed := v["properties"].(object)
	_, more := v["additionalProperties"]
	if open, _ := v["x-kubernetes-preserve-unknown-fields"].(bool); typed && !more && !open {
		out["additionalProperties"] = false
	}
	return out
}
