import type { Batch } from "@sluice/client";
import { bytes } from "../figure.js";
import { Button } from "../ui/button.js";
import { toastError } from "../ui/toast.js";
import { contentPath, saveFile, savings, saveSofar, sofarPath } from "./save.js";
import { hasEnded } from "./state.js";

/** The files of a batch, to be downloaded. */
export function Files({ batch }: { batch: Batch }) {
  const { output_file_id: output, error_file_id: errors, input_file_id: input, request_counts: { completed, failed } } = batch;
  return (
    <div class="batch-group" role="group" aria-label="Downloads">
      {output && <Download path={contentPath(output)} label="Answers" main testId="batch-output" onClick={() => saveFile(output)} />}
      {errors && <Download path={contentPath(errors)} label="Errors" testId="batch-errors" onClick={() => saveFile(errors)} />}
      {!hasEnded(batch) && completed + failed > 0 && (
        <Download path={sofarPath(batch.id)} label="Answers so far" testId="batch-sofar" onClick={() => saveSofar(batch)} />
      )}
      <Download path={contentPath(input)} label="Input" testId="batch-input" onClick={() => saveFile(input)} />
    </div>
  );
}

interface Props {
  path: string;
  label: string;
  main?: boolean;
  testId: string;
  onClick: () => Promise<void>;
}

function Download({ path, label, main, testId, onClick }: Props) {
  const saving = savings.value.get(path);
  if (!saving) {
    return <Button kind={main ? "main" : "plain"} icon="download" testId={testId} onClick={() => { onClick().catch(toastError); }}>{label}</Button>;
  }
  const { loaded, total, cancel } = saving;
  return (
    <Button icon="close" title={`Stop downloading: ${label}`} onClick={cancel}>
      {label}: {total ? `${Math.floor(loaded * 100 / total)} %` : bytes(loaded)}
    </Button>
  );
}
