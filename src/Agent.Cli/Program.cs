using Agent.Cli;

return await Sgctl.RunAsync(args, Surroundings.OfProcess());
