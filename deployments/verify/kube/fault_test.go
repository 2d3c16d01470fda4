package kube

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRules_FindFaults puts one fault at a time into what is rendered: the rule that is for it finds it, so that none of them is
// content with everything.
func TestRules_FindFaults(t *testing.T) {
	t.Parallel()
	text := map[string]string{"production": kustomize(t, "production"), "dev": kustomize(t, "dev")}
	for name, c := range map[string]struct{ overlay, rule, old, new, fault string }{
		"TwoOfAName":         {"production", "names", "  name: sluice-dns\n", "  name: sluice-public\n", "there twice"},
		"NamespaceUnknown":   {"dev", "names", "  name: sluice-files\n  namespace: sluice-dev", "  name: sluice-files\n  namespace: default", `in namespace "default"`},
		"SelectorTooWide":    {"dev", "selectors", "matchLabels:\n      app.kubernetes.io/component: api\n      app.kubernetes.io/name: sluice\n  strategy", "matchLabels:\n      app.kubernetes.io/name: sluice\n  strategy", "chooses the pods of"},
		"SettingUnknown":     {"production", "settings", "SLUICE_LOG_FORMAT", "SLUICE_LOGFORMAT", "no setting SLUICE_LOGFORMAT"},
		"SettingRefused":     {"production", "settings", `SLUICE_EVENT_REPLICAS: "3"`, `SLUICE_EVENT_REPLICAS: "2"`, "want 1, 3 or 5"},
		"SecretUnknown":      {"production", "settings", "name: sluice-upstream", "name: sluice-openai", "nobody is told of secret sluice-openai"},
		"MapUnknown":         {"dev", "settings", "            name: sluice-worker-", "            name: sluice-other-", "ConfigMap sluice-other-"},
		"SchemaNotWaitedFor": {"dev", "schema", "- wait", "- status", "does not wait for its schema"},
		"RootWritten":        {"production", "security", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "may write to its root"},
		"Root":               {"production", "security", "runAsNonRoot: true", "runAsNonRoot: false", "may run as root"},
		"CapabilitiesKept":   {"dev", "security", "drop:\n            - ALL", "drop:\n            - NET_RAW", "has capabilities"},
		"Token":              {"dev", "security", "automountServiceAccountToken: false\n      containers", "automountServiceAccountToken: true\n      containers", "gets a token"},
		"NewestImage":        {"dev", "security", "image: sluice:dev", "image: sluice:latest", "says no version"},
		"KeyNotMounted":      {"production", "volumes", "path: signing.json", "path: keys.json", "is in no volume"},
		"FilesLost":          {"dev", "files", "mountPath: /files", "mountPath: /data", "neither S3 nor a volume"},
		"FilesNotShared":     {"dev", "files", "replicas: 1", "replicas: 2", "more than one pod"},
		"KilledInDrain":      {"production", "drain", "SLUICE_DRAIN_LIMIT: 2m", "SLUICE_DRAIN_LIMIT: 150s", "is killed after 2m30s, and may take 2m45s"},
		"PrivatePortMoved":   {"production", "probes", "SLUICE_PRIVATE_ADDR: 0.0.0.0:9465", "SLUICE_PRIVATE_ADDR: 0.0.0.0:9466", "not asked on the private port 9466"},
		"ProbeUnknown":       {"production", "probes", "port: private\n          periodSeconds: 10", "port: metrics\n          periodSeconds: 10", "a probe asks port metrics"},
		"ServiceElsewhere":   {"production", "services", "targetPort: http", "targetPort: web", "has no port web"},
		"ServerUnknown":      {"dev", "servers", "nats://nats:4222", "nats://broker:4222", "SLUICE_NATS_URL leads nowhere"},
		"BudgetOfNobody":     {"production", "budgets", "matchLabels:\n      app.kubernetes.io/component: batch\n      app.kubernetes.io/name: sluice\n  unhealthy", "matchLabels:\n      app.kubernetes.io/component: batches\n      app.kubernetes.io/name: sluice\n  unhealthy", "has no disruption budget"},
		"BudgetOfNothing":    {"production", "budgets", "maxUnavailable: 50%", "maxUnavailable: 0", "never lets a pod go"},
		"RedisCutOff":        {"production", "policies", "port: 6379", "port: 6380", "cannot reach SLUICE_REDIS_URL"},
		"PolicyOfNobody":     {"production", "policies", "podSelector:\n    matchLabels:\n      app.kubernetes.io/component: api", "podSelector:\n    matchLabels:\n      app.kubernetes.io/component: apis", "is about no pod"},
		"MetadataReached":    {"production", "public", "        - 169.254.0.0/16\n", "", "lets pods reach 169.254.169.254"},
		"StreamsGathered":    {"production", "proxy", `proxy-buffering: "off"`, `proxy-buffering: "on"`, "gathers event streams"},
		"ApiUnwatched":       {"production", "monitors", "  - app.kubernetes.io/component\n  selector:\n    matchExpressions:\n    - key: app.kubernetes.io/component\n      operator: In\n      values:\n      - api\n", "  - app.kubernetes.io/component\n  selector:\n    matchExpressions:\n    - key: app.kubernetes.io/component\n      operator: In\n      values:\n", "does not find Deployment sluice-api"},
		"ScaledTwice":        {"production", "scaling", "spec:\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: batch\n", "spec:\n  replicas: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: batch\n", "sets its replicas too"},
		"OtherLane":          {"production", "scaling", `sluice_queue_depth{lane="batch"}`, `sluice_queue_depth{lane="interactive"}`, "asks for lane interactive"},
		"MetricUnknown":      {"production", "scaling", `sluice_queue_depth{lane="batch"}`, `sluice_depth{lane="batch"}`, "asks for sluice_depth"},
		"ScalerAsksNobody":   {"production", "scaling", "http://sluice-api-private.sluice.svc", "http://sluice-api-private.default.svc", "not the api's private port"},
		"FormulaUnknown":     {"production", "scaling", "formula: depth + running", "formula: depth + runs", "formula:"},
		"ScaledInADrain":     {"production", "scaling", "stabilizationWindowSeconds: 300", "stabilizationWindowSeconds: 60", "takes workers away within a drain"},
		"FallbackStops":      {"production", "scaling", "    failureThreshold: 4\n    replicas: 1", "    failureThreshold: 4\n    replicas: 0", "stops busy workers"},
		"TooManyJobs":        {"production", "scaling", `target: "48"`, `target: "65"`, "has 64 slots"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, strings.Contains(text[c.overlay], c.old), c.old) //nolint:testifylint // the text is too long to be printed
			broken := strings.ReplaceAll(text[c.overlay], c.old, c.new)
			require.Contains(t, strings.Join(rules[c.rule](read(t, c.overlay, broken)), "\n"), c.fault)
		})
	}
}

func TestSchema_FindsFaults(t *testing.T) {
	t.Parallel()
	text := kustomize(t, "production")
	for old, broken := range map[string]string{
		"terminationGracePeriodSeconds: 150": "terminationGraceSeconds: 150", // unknown, of Kubernetes'
		"maxSkew: 1":                         "maxSkew: one",                 // of another type
		"pollingInterval: 15":                "pollingInterval: 0",           // out of KEDA's range
		"behavior: currentReplicasIfHigher":  "behavior: currentIfHigher",    // none of KEDA's
		"podMetricsEndpoints:":               "podMetricEndpoints:",          // unknown, of the operator's
		"minReplicaCount: 2":                 "minReplicas: 2",               // unknown, of KEDA's
	} {
		require.True(t, strings.Contains(text, old), old) //nolint:testifylint // the text is too long to be printed
		for _, v := range versions(t) {
			var err error
			for _, x := range read(t, "production", strings.ReplaceAll(text, old, broken)).objects {
				err = errors.Join(err, v.check(x))
			}
			require.Error(t, err, "%s takes %s", v.name, broken)
		}
	}
}
