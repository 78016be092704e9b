"""An executor for stylewatch that runs each job by a command, here or on another machine."""
