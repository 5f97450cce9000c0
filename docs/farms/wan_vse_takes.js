// A Flamenco job type: each request file in a folder becomes a take in its own folder.
// For Flamenco 3.2 and later; put it into the Manager's "scripts" folder. docs/farms.md says more.

const JOB_TYPE = {
  label: "Wan VSE Takes",
  settings: [
    {
      key: "jobs_folder",
      type: "string",
      subtype: "dir_path",
      required: true,
      description: "The folder that has the request files, as every worker sees it",
    },
    {
      key: "job_files",
      type: "string",
      required: true,
      description: "Names of the request files in it, with commas between: one take of each",
    },
    {
      key: "takes_folder",
      type: "string",
      subtype: "dir_path",
      required: true,
      description: "The folder that the takes' folders are made in; it has to be there",
    },
    {
      key: "models_folder",
      type: "string",
      subtype: "dir_path",
      required: false,
      default: "",
      description: "A folder with Wan models, best on the worker's own disk; empty: the Hugging Face cache",
    },
  ],
};

function compileJob(job) {
  const settings = job.settings;
  const names = settings.job_files
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name.length > 0);
  if (names.length === 0) {
    throw new Error("Job Files names no file.");
  }
  for (const name of names) {
    if (!/^[^\/\\]+\.json$/.test(name)) {
      throw new Error(`"${name}" is no name of a request file; it has to end with .json and be no path.`);
    }
    job.addTask(takeTask(settings, name));
  }
}

function takeTask(settings, name) {
  const take = name.slice(0, -".json".length);
  const args = [
    "-m",
    "wan_backend",
    "generate",
    "--job",
    joined(settings.jobs_folder, name),
    "--output",
    joined(settings.takes_folder, take),
  ];
  if (settings.models_folder) {
    args.push("--models-folder", settings.models_folder);
  }
  const task = author.Task(take, "wan-vse");
  task.addCommand(author.Command("exec", { exe: "{wanPython}", args: args }));
  return task;
}

function joined(folder, name) {
  return folder.replace(/[\/\\]+$/, "") + "/" + name;
}
